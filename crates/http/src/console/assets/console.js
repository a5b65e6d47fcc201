// What is live: keys, copying, local times, new rows. Every page works without it.
//
//   data-follows   of main: a query of /api/v1/events; where one comes, the page is asked for again,
//   data-refresh   the same every so many seconds,
//   data-live      and each element with this and an id is replaced where it has changed; where there are
//                  others than before, the whole page is.
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

// What changes by itself. Nothing is asked for while nobody looks, and no connection is kept: a browser has
// six of them for all its tabs.
let asking = false;
let wanted = false;
async function renew() {
  // The answer to a form is not asked for again.
  if (main?.dataset.answer !== undefined) return;
  if (asking || document.hidden) {
    wanted = true;
    return;
  }
  asking = true;
  wanted = false;
  try {
    // By the header the server knows that nobody has asked for it: the session is not used by it.
    const headers = { accept: "text/html", "x-narrowgate-renewed": "1" };
    const answer = await fetch(location.href, { headers });
    // Nobody is logged in any more, or there is no such page any more.
    if (answer.redirected || [401, 403, 404].includes(answer.status)) anew();
    else if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The server is gone for a moment: the next event asks again.
  }
  // No more than one a second.
  setTimeout(() => {
    asking = false;
    if (wanted) renew();
  }, 1000);
}

// The whole page, but for somebody who types in it or has chosen something in it: that would be lost.
function anew() {
  const field = document.activeElement?.closest?.("input, textarea, select");
  const isChanged = (other) =>
    other.type === "checkbox" || other.type === "radio"
      ? other.checked !== other.defaultChecked
      : other.value !== (other.defaultValue ?? other.value);
  if (field && main.contains(field)) return;
  if ([...main.querySelectorAll("input, textarea")].some(isChanged)) return;
  location.reload();
}

// The live parts of a page.
const partsOf = (page) => [...(page?.querySelectorAll("[data-live][id]") ?? [])].map((part) => part.id).join();

function replace(page) {
  const other = page.getElementById("content");
  if (partsOf(main) !== partsOf(other) || (other.dataset.refresh && !main.dataset.refresh)) {
    // It became another page, such as one that does not wait any more.
    anew();
    return;
  }
  for (const part of main.querySelectorAll("[data-live][id]")) {
    const fresh = page.getElementById(part.id);
    // What somebody has opened stays open.
    const before = [...part.querySelectorAll("details")];
    fresh.querySelectorAll("details").forEach((now, n) => { now.open = before[n]?.open ?? now.open; });
    // Somebody who types there, or has marked something, is not disturbed.
    if (part.contains(document.activeElement) || fresh.isEqualNode(part)) continue;
    part.replaceWith(document.adoptNode(fresh));
  }
  if (other.dataset.refresh !== main.dataset.refresh) {
    clearInterval(timer);
    if (other.dataset.refresh) {
      main.dataset.refresh = other.dataset.refresh;
      timer = setInterval(renew, 1000 * Number(main.dataset.refresh));
    } else {
      delete main.dataset.refresh;
    }
  }
  document.dispatchEvent(new Event("narrowgate:renewed"));
}

let timer;
if (main?.dataset.refresh) timer = setInterval(renew, 1000 * Number(main.dataset.refresh));

// Events. A stream that the server ends, or does not give now, is asked for again, at growing intervals.
let stream;
let again;
let wait = 2000;
let came = 0;
const fresh = document.querySelector("[data-fresh]");

function tell(more) {
  if (document.querySelector("[data-live]")) renew();
  if (!fresh) return;
  came += more;
  fresh.textContent = fresh.dataset.fresh.replace("{n}", came);
  fresh.hidden = false;
}

// Rows that have come to a list while nothing was followed.
async function missed() {
  if (!fresh || location.search.includes("cursor=")) return;
  const texts = (page) => [...page.querySelectorAll("[data-row]")].map((row) => row.textContent);
  try {
    const answer = await fetch(location.href, { headers: { "x-narrowgate-renewed": "1" } });
    if (!answer.ok || answer.redirected) return;
    const now = texts(new DOMParser().parseFromString(await answer.text(), "text/html"));
    const known = now.indexOf(texts(document)[0]);
    const more = known < 0 ? now.length : known;
    if (more > came) tell(more - came);
  } catch {
    // As above.
  }
}

function leave() {
  clearTimeout(again);
  stream?.close();
  stream = undefined;
}

function later() {
  leave();
  again = setTimeout(follow, wait);
  wait = Math.min(2 * wait, 30000);
}

function follow() {
  if (stream || document.hidden || main?.dataset.follows === undefined) return;
  stream = new EventSource(`/api/v1/events?${main.dataset.follows}`);
  for (const kind of "report presence refusal command event".split(" ")) {
    stream.addEventListener(kind, () => {
      wait = 2000;
      tell(1);
    });
  }
  // What came before the stream was open, and what was lost, is seen by looking.
  const look = () => {
    renew();
    missed();
  };
  stream.addEventListener("gap", look);
  stream.addEventListener("open", look);
  stream.addEventListener("ended", later);
  stream.addEventListener("error", () => stream?.readyState === EventSource.CLOSED && later());
}
follow();

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    leave();
    return;
  }
  wait = 2000;
  if (main?.dataset.follows !== undefined || wanted) renew();
  follow();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => event.persisted && follow());

// How long ago things were goes on: the server writes it anew.
if (document.querySelector("[data-live] time[data-ago]")) setInterval(renew, 30000);

// A sum of a file can be made on a page with TLS, or of this machine.
const upload = document.querySelector("form[data-upload]");
if (upload && crypto.subtle) import("./upload.js");
else if (upload) upload.hidden = true;
