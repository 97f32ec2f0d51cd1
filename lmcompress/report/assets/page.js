// Sorts a table by the column whose heading is pressed, the other way round when pressed again.
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? text : number;
};
// Numbers come before text.
const compare = (a, b) => {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : a.localeCompare(b);
};

// On a small screen the contents would fill the first page.
const contents = document.querySelector("nav details");
if (contents && window.matchMedia("(max-width: 48rem)").matches) contents.open = false;

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
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
      body.append(...(ascending ? rows : rows.reverse()));
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
