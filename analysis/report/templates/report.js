"use strict";
// Headings sort their table: numbers as numbers, missing values last in either direction.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...[...table.tHead.rows].at(-1).cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    heading.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const numeric = heading.classList.contains("num");
      // In a column of numbers readers usually want the largest first.
      const first = numeric ? "descending" : "ascending";
      const second = numeric ? "ascending" : "descending";
      const now = before === first ? second : first;
      const sign = now === "ascending" ? 1 : -1;
      const key = (row) => {
        const cell = row.cells[column];
        const order = cell.dataset.order;
        return {
          row,
          missing: cell.dataset.missing !== undefined,
          number: order === undefined ? NaN : Number(order),
          text: cell.textContent.trim(),
        };
      };
      const compare = (a, b) => {
        if (a.missing || b.missing) return Number(a.missing) - Number(b.missing);
        if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
        return sign * a.text.localeCompare(b.text, "en", { numeric: true });
      };
      body.append(...[...body.rows].map(key).sort(compare).map((item) => item.row));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", now);
    });
  });
}
// A link to a run opens it.
const openTarget = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
};
window.addEventListener("hashchange", openTarget);
openTarget();
const buttons = document.querySelector(".buttons");
if (buttons) {
  buttons.hidden = false;
  for (const button of buttons.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      for (const run of document.querySelectorAll("details.run")) run.open = button.dataset.open === "all";
    });
  }
}
// Paper can't be unfolded: print all of "What was run", and the runs that are open.
const closed = () => document.querySelectorAll("#what-was-run details:not([open])");
window.addEventListener("beforeprint", () => {
  for (const part of closed()) {
    part.open = true;
    part.dataset.reopened = "";
  }
});
window.addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("[data-reopened]")) {
    part.open = false;
    delete part.dataset.reopened;
  }
});
