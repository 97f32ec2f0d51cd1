// Sorts a table by the column whose heading is pressed, the other way round when pressed again.
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? text : number;
};
// Numbers come before text, in either direction: a cell without a figure stays at the end.
const compare = (a, b, direction) => {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return direction * (typeof a === "number" ? a - b : a.localeCompare(b));
};

for (const table of document.querySelectorAll("table")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const body = table.tBodies[0];
      const direction = ascending ? 1 : -1;
      const ordered = (a, b) => compare(value(a, column), value(b, column), direction);
      body.append(...[...body.rows].sort(ordered));
    });
  });
}

// A box that is wider than its place fades out where it goes on.
const showRest = (box) =>
  box.classList.toggle("more", box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
const boxes = [...document.querySelectorAll(".scroll")];
for (const box of boxes) {
  showRest(box);
  box.addEventListener("scroll", () => showRest(box), { passive: true });
}
window.addEventListener("resize", () => boxes.forEach(showRest));

// The contents say where the reader is. On a small screen they are folded but for that.
const contents = document.querySelector("nav details");
if (contents) {
  const small = window.matchMedia("(max-width: 64rem)");
  const links = [...contents.querySelectorAll("a")];
  const sections = links.map((link) => document.getElementById(link.hash.slice(1)));
  const showWhere = () => {
    const passed = sections.findLastIndex((section) => section.getBoundingClientRect().top < 120);
    const here = links[Math.max(passed, 0)];
    if (here.hasAttribute("aria-current")) return;
    links.forEach((link) => link.removeAttribute("aria-current"));
    here.setAttribute("aria-current", "true");
    document.getElementById("here").textContent = `: ${here.textContent}`;
    const box = contents.querySelector(".contents");
    const outside = here.offsetTop - box.offsetTop - box.clientHeight / 2;
    if (!small.matches) box.scrollTop = outside;
  };
  const fold = () => (contents.open = !small.matches);
  fold();
  small.addEventListener("change", fold);
  contents.addEventListener("click", (event) => {
    if (small.matches && event.target.closest("a")) contents.open = false;
  });
  window.addEventListener("scroll", showWhere, { passive: true });
  window.addEventListener("resize", showWhere);
  showWhere();
}
// What is unfolded has a width only then.
document.addEventListener("toggle", () => boxes.forEach(showRest), true);
