"use strict";

// Buttons that open a panel of images: one panel is open at a time.
for (const section of document.querySelectorAll("[data-cells]")) {
  const buttons = [...section.querySelectorAll("button[aria-controls]")];
  const panelOf = (button) => document.getElementById(button.getAttribute("aria-controls"));
  const close = () => {
    for (const button of buttons) {
      button.setAttribute("aria-expanded", "false");
      panelOf(button).hidden = true;
    }
  };
  const move = (button, down, right) => {
    const cell = button.closest("td");
    if (!cell) {
      buttons[buttons.indexOf(button) + down + right]?.focus();
      return;
    }
    const rows = [...cell.closest("tbody").rows];
    let row = rows.indexOf(cell.parentElement) + down;
    let column = cell.cellIndex + right;
    while (rows[row]?.cells[column]) {
      const next = rows[row].cells[column].querySelector("button");
      if (next) {
        next.focus();
        return;
      }
      row += down;
      column += right;
    }
  };
  const steps = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      close();
      if (!open) {
        button.setAttribute("aria-expanded", "true");
        panelOf(button).hidden = false;
        panelOf(button).scrollIntoView({ block: "nearest" });
      }
    });
    button.addEventListener("keydown", (event) => {
      if (steps[event.key]) {
        event.preventDefault();
        move(button, ...steps[event.key]);
      }
    });
  }
  section.addEventListener("keydown", (event) => {
    const open = buttons.find((button) => button.getAttribute("aria-expanded") === "true");
    if (event.key === "Escape" && open) {
      close();
      open.focus();
    }
  });
}

// Sliders of confidence: counts of the chosen threshold become shares.
const percent = (share) => {
  const text = (100 * share).toFixed(1);
  return `${share === 0 || share === 1 ? 100 * share : text === "100.0" ? "99.9" : text}\u00a0%`;
};
for (const slider of document.querySelectorAll("[data-thresholds]")) {
  const id = slider.dataset.thresholds;
  const counts = JSON.parse(document.getElementById(`${id}-counts`).textContent);
  const input = slider.querySelector("input");
  const marker = slider.parentElement.querySelector("circle.strong");
  const show = (name, text) => {
    slider.querySelector(`[data-show="${name}"]`).textContent = text;
  };
  const ratio = (part, whole) => (whole ? (part / whole).toFixed(3) : "–");
  const update = () => {
    const at = Number(input.value);
    const kept = counts.kept[at];
    const right = counts.right[at];
    const threshold = `${Number((100 * counts.thresholds[at]).toFixed(2))}\u00a0%`;
    show("threshold", threshold);
    show("coverage", percent(kept / counts.images));
    show("accuracy", kept ? percent(right / kept) : "–");
    show("kept", kept.toLocaleString("en-US"));
    show("errors", (kept - right).toLocaleString("en-US"));
    input.setAttribute("aria-valuetext", threshold);
    const point = counts.path[Math.min(at, counts.path.length - 1)];
    marker.setAttribute("cx", point[0]);
    marker.setAttribute("cy", point[1]);
    for (const row of document.querySelectorAll(`#${id}-classes tr[data-class]`)) {
      const own = counts.classes[row.dataset.class];
      row.querySelector('[data-show="precision"]').textContent = ratio(own.hits[at], own.given[at]);
      row.querySelector('[data-show="recall"]').textContent = ratio(own.hits[at], own.support);
    }
  };
  input.max = String(counts.thresholds.length - 1);
  input.addEventListener("input", update);
}
