// What is live: keys, copying, local times, new rows. Every page works without it.
//
//   data-follows   of main: a query of /api/v1/events; where one comes, the page is asked for again,
//   data-refresh   the same every so many seconds,
//   data-live      and each element with this and an id is replaced where it has changed.
//   data-fresh     is a link that says how many events have come, for lists that must not jump.
//   data-copy      is copied. data-key is a letter after g.

const root = document.documentElement;
const main = document.getElementById("content");
root.classList.add("scripted");

// The zone of the browser, for the pages to come.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  const secure = location.protocol.startsWith("https");
  const name = `${secure ? "__Host-" : ""}narrowgate_local`;
  if (!document.cookie.includes(`${name}=${encodeURIComponent(zone)}`)) {
    const rest = `Path=/; Max-Age=31536000; SameSite=Lax${secure ? "; Secure" : ""}`;
    document.cookie = `${name}=${encodeURIComponent(zone)}; ${rest}`;
    if (!("utc" in root.dataset)) exactTimes();
  }
}

// The first page of a browser was written in UTC.
function exactTimes() {
  const how = { dateStyle: "medium", timeStyle: "long" };
  const write = new Intl.DateTimeFormat(root.lang === "en" ? "en-GB" : root.lang, how);
  for (const time of document.querySelectorAll("time[data-ago]")) {
    time.title = write.format(Number(time.dataset.ago));
  }
  for (const time of document.querySelectorAll("time[data-exact]")) {
    time.textContent = write.format(Number(time.dataset.exact));
  }
}

// Copying.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not on a page without TLS: the old way.
    const field = document.createElement("textarea");
    field.value = text;
    button.after(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  button.classList.add("good");
  setTimeout(() => button.classList.remove("good"), 1200);
});

// Keys.
const dialog = document.getElementById("keys");
const rows = () => [...document.querySelectorAll("[data-row]")];
let row = -1;
let afterG = false;

function goTo(step) {
  const all = rows();
  if (all.length === 0) return;
  all[row]?.classList.remove("here");
  row = Math.min(Math.max(row + step, 0), all.length - 1);
  all[row].classList.add("here");
  all[row].scrollIntoView({ block: "nearest" });
  all[row].querySelector("a")?.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest?.("input, textarea, select, dialog")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (afterG) {
    afterG = false;
    document.querySelector(`.places [data-key="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  switch (event.key) {
    case "/":
      document.getElementById("search")?.focus();
      break;
    case "g":
      afterG = true;
      return;
    case "j":
      goTo(1);
      break;
    case "k":
      goTo(-1);
      break;
    case "Enter":
      if (event.target !== document.body || row < 0) return;
      rows()[row]?.querySelector("a")?.click();
      break;
    case "?":
      dialog?.showModal();
      break;
    default:
      return;
  }
  event.preventDefault();
});
document.querySelector("[data-keys]")?.addEventListener("click", (event) => {
  event.preventDefault();
  dialog?.showModal();
});

// Charts have a module of their own.
if (document.querySelector("[data-charts]")) import("./charts.js");

// What changes by itself.
let asking = false;
let wanted = false;
async function renew() {
  if (asking) {
    wanted = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected) location.reload();
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The server is gone for a moment: the next event asks again.
  }
  // No more than one a second.
  setTimeout(() => {
    asking = false;
    if (wanted) {
      wanted = false;
      renew();
    }
  }, 1000);
}

function replace(page) {
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const other = page.getElementById(part.id);
    // What somebody has opened stays open.
    const before = [...(part.querySelectorAll("details") ?? [])];
    other?.querySelectorAll("details").forEach((now, n) => { now.open = before[n]?.open ?? now.open; });
    // Somebody who types there, or has marked something, is not disturbed.
    if (!other || part.contains(document.activeElement) || other.isEqualNode(part)) continue;
    part.replaceWith(document.adoptNode(other));
  }
  const other = page.getElementById("content");
  if (main?.dataset.refresh && !other?.dataset.refresh) stop();
  document.dispatchEvent(new Event("narrowgate:renewed"));
}

let timer;
function stop() {
  clearInterval(timer);
  delete main.dataset.refresh;
}
if (main?.dataset.refresh) timer = setInterval(renew, 1000 * Number(main.dataset.refresh));

if (main?.dataset.follows !== undefined) {
  const stream = new EventSource(`/api/v1/events?${main.dataset.follows}`);
  const fresh = document.querySelector("[data-fresh]");
  let count = 0;
  const come = () => {
    if (document.querySelector("[data-live]")) renew();
    if (!fresh) return;
    count += 1;
    fresh.textContent = fresh.dataset.fresh.replace("{n}", count);
    fresh.hidden = false;
  };
  const kinds = "report presence refusal command event";
  for (const kind of kinds.split(" ")) stream.addEventListener(kind, come);
  stream.addEventListener("ended", () => stream.close());
  addEventListener("pagehide", () => stream.close());
}

// How long ago things were goes on: the server writes it anew.
if (document.querySelector("[data-live] time[data-ago]")) setInterval(() => document.hidden || renew(), 30000);

// A sum of a file can be made on a page with TLS, or of this machine.
if (document.querySelector("form[data-upload]") && crypto.subtle) import("./upload.js");
