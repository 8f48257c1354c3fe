// JupyterLab shows a picture without its words, and a screen reader says nothing of it. The words are
// in the notebook, in the output's metadata ("alt"); this puts them where a screen reader looks.
// Written by hand in the form in which JupyterLab loads its extensions: there is nothing to build.

(() => {
  const PAUSE = 250; // ms after the last change of the page

  function name(cell) {
    const area = cell.outputArea; // of a code cell
    for (let k = 0; k < (area?.model.length ?? 0); k++) {
      const words = area.model.get(k).metadata["image/png"]?.alt;
      const image = area.widgets[k]?.node.querySelector(".jp-RenderedImage img");
      if (words && image) image.alt = words;
    }
  }

  function activate(app) {
    let waiting = 0;
    const all = () => {
      for (const { content } of app.shell.widgets("main")) for (const cell of content?.widgets ?? []) name(cell);
    };
    new MutationObserver(() => {
      clearTimeout(waiting);
      waiting = setTimeout(all, PAUSE);
    }).observe(document.body, { childList: true, subtree: true });
  }

  const extension = { __esModule: true, default: { id: "mrcnn-words:plugin", autoStart: true, activate } };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB["mrcnn-words"] = { init: () => {}, get: async () => () => extension };
})();
