// What ipywidgets leaves without a name: a slider's handle and number, and the figure.

function render({ model, el }) {
  const watch = new MutationObserver(() => name());
  let waiting = 0;
  const name = () => {
    const box = el.closest(".mrcnn-explorer");
    if (!box) return; // taken off the page
    for (const slider of box.querySelectorAll(".widget-slider, .widget-hslider")) {
      const words = slider.querySelector(".widget-label")?.textContent;
      for (const part of slider.querySelectorAll(".noUi-handle, .widget-readout")) part.setAttribute("aria-label", words);
    }
    for (const image of box.querySelectorAll("img")) image.alt = model.get("alt");
  };
  const begin = () => {
    const box = el.closest(".mrcnn-explorer");
    if (!box) return (waiting = requestAnimationFrame(begin)); // not on the page yet
    name();
    watch.observe(box, { childList: true, subtree: true });
  };
  begin();
  return () => {
    cancelAnimationFrame(waiting);
    watch.disconnect();
  };
}

export default { render };
