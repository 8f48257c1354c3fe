// Questions and explorers come to life, whatever scrolls sideways can be reached with the keyboard,
// and for screen readers the bars beside the text get names, the parts of the course a level.

course.mountPage();
for (const place of document.querySelectorAll(".explorer-place")) {
  const state = JSON.parse(place.querySelector("script").textContent);
  place.explorer = roiExplorer.mount(place, roiExplorer.localStore(state));
}

const sideways = ["pre", ".picture", ".table-wrapper", ".wide"].map((kind) => `article ${kind}`);
const wide = [...document.querySelectorAll(sideways.join())];
const reachable = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
wide.forEach((node) => reachable.observe(node));

for (const [bar, name] of [[".sidebar-drawer", "The course"], [".toc-drawer", "On this page"]]) {
  document.querySelector(bar)?.setAttribute("aria-label", name);
}
for (const part of document.querySelectorAll("p.caption[role=heading]")) part.ariaLevel = "3";
