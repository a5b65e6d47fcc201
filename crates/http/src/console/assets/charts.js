// Charts under the pointer: the value of all of a page at that time, and a range by dragging. The table below
// them says the same without it.
//
//   data-charts    holds charts of one time span; with data-range, dragging opens the page of that range.
//   data-values    of a chart: of a line "@COLUMN VALUE VALUE …", of lanes "COLUMN:LANE …" where it changes
//                  and the words of the lanes in further lines, of marks "COLUMN:COUNT …".

const svg = "http://www.w3.org/2000/svg";
const utc = "utc" in document.documentElement.dataset;
const write = new Intl.DateTimeFormat(document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang, {
  dateStyle: "medium",
  timeStyle: "medium",
  timeZone: utc ? "UTC" : undefined,
});

// What each column says, once for each chart.
function columns(chart) {
  const said = [];
  const [values, ...words] = chart.dataset.values.split("\n");
  const parts = values.split(" ").filter((part) => part);
  if (chart.dataset.kind === "line") {
    let at = 0;
    for (const part of parts) {
      if (part.startsWith("@")) at = Number(part.slice(1));
      else said[at++] = part.replace("~", " … ");
    }
    return said;
  }
  const pairs = parts.map((part) => part.split(":"));
  if (chart.dataset.kind === "lanes") {
    pairs.forEach(([from, lane], n) => {
      const until = Number(pairs[n + 1]?.[0] ?? chart.dataset.columns);
      for (let at = Number(from); at < until; at++) said[at] = lane === "" ? "" : words[lane];
    });
    return said;
  }
  for (const [at, count] of pairs) said[at] = count;
  return said;
}

function line(chart, name, tag) {
  let found = chart.querySelector(`.${name}`);
  if (!found) {
    found = document.createElementNS(svg, tag);
    found.setAttribute("class", name);
    chart.append(found);
  }
  return found;
}

function follow(group) {
  const charts = [...group.querySelectorAll("svg[data-values]")];
  const said = new Map(charts.map((chart) => [chart, columns(chart)]));
  const range = "range" in group.dataset;
  let begun = null;

  // Which share of the span the pointer is at.
  const share = (event) => {
    const chart = event.target.closest?.("svg[data-values]");
    if (!chart) return null;
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
    const [left, right] = [Number(chart.dataset.left), Number(chart.dataset.right)];
    return Math.min(Math.max((x - left) / (right - left), 0), 1);
  };
  const time = (at) => {
    const [from, until] = [Number(charts[0].dataset.from), Number(charts[0].dataset.until)];
    return Math.round(from + at * (until - from));
  };
  const x = (chart, at) => Number(chart.dataset.left) + at * (chart.dataset.right - chart.dataset.left);

  const show = (at) => {
    for (const chart of charts) {
      const cursor = line(chart, "chart-cursor", "line");
      for (const name of ["x1", "x2"]) cursor.setAttribute(name, x(chart, at));
      cursor.setAttribute("y1", 0);
      cursor.setAttribute("y2", chart.viewBox.baseVal.height - 20);
      const output = chart.closest("figure")?.querySelector("output");
      const column = Math.min(Math.floor(at * chart.dataset.columns), chart.dataset.columns - 1);
      if (output) output.textContent = `${said.get(chart)[column] ?? "–"} · ${write.format(time(at))}`;
    }
  };
  const mark = (from, until) => {
    for (const chart of charts) {
      const box = line(chart, "chart-range", "rect");
      box.setAttribute("x", x(chart, Math.min(from, until)));
      box.setAttribute("width", Math.abs(x(chart, until) - x(chart, from)));
      box.setAttribute("y", 0);
      box.setAttribute("height", chart.viewBox.baseVal.height - 20);
    }
  };
  const clear = () => {
    begun = null;
    for (const found of group.querySelectorAll(".chart-cursor, .chart-range")) found.remove();
    for (const output of group.querySelectorAll("output")) output.textContent = "";
  };

  group.addEventListener("pointermove", (event) => {
    const at = share(event);
    if (at === null) return;
    show(at);
    if (begun !== null) mark(begun, at);
  });
  group.addEventListener("pointerleave", clear);
  if (!range) return;
  for (const chart of charts) chart.dataset.draggable = "";
  group.addEventListener("pointerdown", (event) => {
    if (event.button === 0) begun = share(event);
  });
  group.addEventListener("pointerup", (event) => {
    const [from, until] = [begun, share(event)];
    clear();
    // A click is no range.
    if (from === null || until === null || Math.abs(until - from) < 0.01) return;
    const page = new URL(location.href);
    page.searchParams.set("from", time(Math.min(from, until)));
    page.searchParams.set("to", time(Math.max(from, until)));
    page.searchParams.delete("last");
    location.assign(page);
  });
}

const begin = () => document.querySelectorAll("[data-charts]:not([data-followed])").forEach((group) => {
  group.dataset.followed = "";
  if (group.querySelector("svg[data-values]")) follow(group);
});
begin();
document.addEventListener("narrowgate:renewed", begin);
