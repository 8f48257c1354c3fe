// The live page in a frame, where the notebook's server can reach it; else where it lies.
export default {
  /** @param {{model: {get(name: string): string}, el: HTMLElement}} place */
  async render({ model, el }) {
    const config = document.getElementById("jupyter-config-data");
    const base = config ? JSON.parse(config.textContent).baseUrl : "/";
    const url = `${base}files/${model.get("page")}`;
    const found = await fetch(url, { method: "HEAD" }).then((answer) => answer.ok, () => false);
    const child = document.createElement(found ? "iframe" : "p");
    if (found) {
      child.src = url;
      child.title = model.get("alt");
      child.style = "width: 100%; height: min(900px, 85vh); border: 1px solid #8888; border-radius: 6px";
    } else {
      child.textContent = `This front end cannot show ${model.get("page")}: open it in a browser.`;
    }
    el.replaceChildren(child);
  },
};
