// An image of firmware is uploaded in pieces by the API. One that was cut off goes on where it stopped.

const PIECE = 1 << 20;
const form = document.querySelector("form[data-upload]");
const button = form.querySelector("button");
const bar = form.querySelector("progress");
const alert = form.querySelector("[role=alert]");

async function sumOf(file) {
  const sum = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(sum), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(method, path, type, body) {
  const headers = { "content-type": type, "x-csrf-token": form.elements.csrf.value };
  const answer = await fetch(path, { method, headers, body });
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  throw new Error([told.title, told.detail].filter(Boolean).join(": ") || answer.statusText);
}

async function upload() {
  const { product, version, file: chosen } = form.elements;
  const [file] = chosen.files;
  const sha256 = await sumOf(file);
  const image = { productKey: product.value.trim(), version: version.value.trim(), size: file.size, sha256 };
  let state = await ask("POST", "/api/v1/firmware", "application/json", JSON.stringify(image));
  while (!state.image) {
    const offset = state.received;
    bar.value = offset / file.size;
    const path = `/api/v1/firmware:content?${new URLSearchParams({ ...image, offset })}`;
    state = await ask("PUT", path, "application/octet-stream", file.slice(offset, offset + PIECE));
    if (!state.image && state.received <= offset) throw new Error(form.dataset.stopped);
  }
  location.assign(`/console/firmware/${encodeURIComponent(state.image.imageId)}`);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  bar.hidden = false;
  alert.hidden = true;
  try {
    await upload();
  } catch (error) {
    alert.textContent = error.message || form.dataset.stopped;
    alert.hidden = false;
    bar.hidden = true;
    button.disabled = false;
  }
});
button.disabled = false;
