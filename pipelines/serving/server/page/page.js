"use strict";

// The token lives here and nowhere else: no address, no cookie, no storage.
let token = "";
let model = null;
let photograph = null;
// Each photograph has a number; what arrives late for an earlier one is dropped.
let turn = 0;

const find = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const percent = (share) => {
  if (share > 0.999 && share < 1) return "> 99.9 %";
  if (share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
};

async function ask(path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const found = await response.json().catch(() => ({}));
  if (response.ok) return found;
  const error = new Error(found.error || `The server answered with status ${response.status}.`);
  error.status = response.status;
  throw error;
}

function tell(problem) {
  find("problem").textContent = problem;
  find("problem").hidden = !problem;
}

async function begin() {
  try {
    model = await ask("model");
  } catch (error) {
    find("entry").hidden = error.status !== 401;
    if (error.status !== 401 || token) tell(error.message);
    if (error.status === 401) {
      find("token").value = token = "";
      find("token").focus();
    }
    return;
  }
  tell("");
  find("entry").hidden = true;
  find("ask").hidden = false;
  find("name").textContent = model.name;
  document.title = `${model.name}: classify a photograph`;
  const counts = model.tasks.map((task) => {
    if (task.kind === "regression") return task.name;
    const noun = task.kind === "multi_label" ? "labels" : "classes";
    return `${task.bare ? "" : `${task.name}: `}${task.classes.length} ${noun}`;
  });
  find("about").textContent = `${counts.join(" · ")} · version ${model.version}`;
}

async function classify(file) {
  if (!model || !file) return;
  const mine = ++turn;
  photograph = file;
  show(file);
  tell("");
  if (file.size > model.max_body_mb * 2 ** 20) {
    const size = (file.size / 2 ** 20).toFixed(0);
    tell(`This file has ${size} MB; the server takes ${model.max_body_mb} MB at most.`);
    return;
  }
  document.body.classList.add("busy");
  try {
    const found = await ask("predict?top=5", file);
    if (mine === turn) answer(found.predictions[0]);
  } catch (error) {
    if (mine === turn) tell(error.message.replace(/^images\[0\]: /, "This photograph cannot be read: "));
  } finally {
    if (mine === turn) document.body.classList.remove("busy");
  }
}

function show(file) {
  const photo = find("photo");
  if (photo.src) URL.revokeObjectURL(photo.src);
  photo.src = URL.createObjectURL(file);
  photo.alt = file.name ? `Your photograph, ${file.name}` : "Your photograph";
  find("stage").classList.add("filled");
  find("frame").hidden = false;
  find("invitation").hidden = true;
  find("map").hidden = true;
  find("answers").hidden = true;
}

function answer(prediction) {
  const answers = find("answers");
  answers.replaceChildren();
  if (prediction.is_unknown) {
    const notice = make("p", "notice");
    notice.append(
      make("b", "", "None of these"),
      "This photograph is unlike those that the model has learned from. What follows is its guess all the same.",
    );
    answers.append(notice);
  }
  for (const task of model.tasks) {
    answers.append(card(task, task.bare ? prediction : prediction.tasks[task.name], prediction.is_unknown));
  }
  answers.hidden = false;
}

function card(task, prediction, isUnknown) {
  const element = make("div", isUnknown ? "card unknown" : "card");
  if (!task.bare) element.append(make("p", "eyebrow", task.name));
  const best = make("p", "best");
  element.append(best);
  if (task.kind === "regression") {
    best.append(make("span", "", Number(prediction.value.toPrecision(4)).toString()));
    return element;
  }
  const members = prediction.prediction_set;
  if (task.kind === "multi_label" && members) {
    best.append(make("span", "", members.join(", ") || "No label"));
  } else {
    best.append(make("span", "", prediction.classes[0]), make("span", "", percent(prediction.probabilities[0])));
  }
  if (task.kind === "single_label" && members && !isUnknown) {
    element.append(make("p", "set quiet", describeSet(members)));
  }
  const bars = make("ul", "bars");
  prediction.classes.forEach((name, place) => {
    bars.append(bar(task, name, prediction.probabilities[place], members && members.includes(name)));
  });
  element.append(bars);
  if (model.explains) element.append(make("p", "hint", "Choose a class to see what in the photograph speaks for it."));
  return element;
}

function describeSet(members) {
  if (members.length === 0) return "No class is likely enough to be named.";
  if (members.length === 1) return "No other class is likely.";
  const shown = members.slice(0, 10).join(", ");
  return `It may be any of: ${shown}${members.length > 10 ? ` and ${members.length - 10} more` : ""}.`;
}

function bar(task, name, share, isMember) {
  const item = make("li", isMember ? "member" : "");
  const row = make(model.explains ? "button" : "div");
  const track = make("span", "track");
  const fill = make("span", "fill");
  fill.style.width = `${100 * share}%`;
  track.append(fill);
  row.append(make("span", "label", name), make("span", "share", percent(share)), track);
  if (model.explains) {
    row.type = "button";
    row.setAttribute("aria-pressed", "false");
    row.addEventListener("click", () => explain(row, task.name, name));
  }
  item.append(row);
  return item;
}

async function explain(button, task, name) {
  const wasPressed = button.getAttribute("aria-pressed") === "true";
  for (const other of document.querySelectorAll(".bars button")) other.setAttribute("aria-pressed", "false");
  find("map").hidden = true;
  if (wasPressed) return;
  button.setAttribute("aria-pressed", "true");
  const mine = turn;
  document.body.classList.add("busy");
  try {
    const query = new URLSearchParams({ task, class: name });
    const found = await ask(`explain?${query}`, photograph);
    if (mine !== turn || button.getAttribute("aria-pressed") !== "true") return;
    draw(found);
    tell(Math.max(...found.map.flat()) ? "" : `Nothing in this photograph speaks for ${name}.`);
  } catch (error) {
    if (mine === turn) tell(error.message);
  } finally {
    if (mine === turn) document.body.classList.remove("busy");
  }
}

// Darkens what does not speak for the class; the browser smooths between the places of the map.
function draw({ map, box }) {
  const canvas = find("map");
  canvas.width = map[0].length;
  canvas.height = map.length;
  const pixels = new ImageData(canvas.width, canvas.height);
  map.flat().forEach((value, place) => {
    pixels.data[4 * place + 3] = Math.round(184 * (1 - value));
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  for (const side of ["left", "top", "width", "height"]) canvas.style[side] = `${100 * box[side]}%`;
  canvas.hidden = false;
}

find("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value.trim();
  begin();
});
for (const id of ["choose", "take"]) {
  find(id).addEventListener("change", (event) => {
    classify(event.target.files[0]);
    event.target.value = "";
  });
}
find("photo").addEventListener("error", () => {
  // A format that this browser does not show, as HEIC; the server may read it all the same.
  find("photo").alt = `${photograph.name || "This photograph"} cannot be shown here`;
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
document.addEventListener("drop", (event) => classify(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => classify(event.clipboardData.files[0]));
begin();
