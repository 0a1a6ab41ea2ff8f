// Classifies photographs by an ONNX export, in the page: no server sees them.
// Beside this file lie the two files of onnxruntime-web, and the export's folder as model/.
import * as ort from "./ort.wasm.bundle.min.mjs";

const [fileInput, status, answer] = ["file", "status", "answer"].map((id) =>
  document.getElementById(id),
);
ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
// More threads need headers that most static hosts do not send.
ort.env.wasm.numThreads = 1;

async function load() {
  const session = await ort.InferenceSession.create("model/model.onnx");
  const text = await (await fetch("model/labels.txt")).text();
  return { session, labels: text.trimEnd().split("\n") };
}

// Returns the pixels as the network takes them, uint8 [1, H, W, 3]; it resizes them itself.
async function readPixels(file) {
  const bitmap = await createImageBitmap(file); // upright by EXIF
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "#ffffff"; // behind transparent pixels, as preprocessing.background
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      rgb[3 * pixel + channel] = rgba[4 * pixel + channel];
    }
  }
  return new ort.Tensor("uint8", rgb, [1, height, width, 3]);
}

async function classify(file, { session, labels }) {
  const { probabilities } = await session.run({ images: await readPixels(file) });
  return labels
    .map((label, index) => ({ label, probability: probabilities.data[index] }))
    .sort((a, b) => b.probability - a.probability);
}

function show(answers) {
  answer.replaceChildren(
    ...answers.map(({ label, probability }) => {
      const item = document.createElement("li");
      item.textContent = `${label} ${probability.toFixed(4)}`;
      return item;
    }),
  );
}

const loading = load();
loading.then(
  () => (status.textContent = "ready"),
  (error) => (status.textContent = `cannot load the model: ${error.message}`),
);
fileInput.addEventListener("change", async () => {
  const [file] = fileInput.files;
  if (!file) return;
  status.textContent = "computing";
  try {
    show(await classify(file, await loading));
    status.textContent = file.name;
  } catch (error) {
    answer.replaceChildren();
    status.textContent = `cannot classify ${file.name}: ${error.message}`;
  }
});
