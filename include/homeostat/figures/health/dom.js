// Build elements from text only: nothing that a model, a feature or a person is called can become HTML.

/** Return the children that are there: the DOM would write null as a word. */
export function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Return an element; `props` are properties or, with a dash or "role", attributes. Null children are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else if (name === "class") node.className = value;
    else node[name] = value;
  }
  node.append(...present(children));
  return node;
}

/** Return a link, or null without an address that is safe to open. */
export function link(href, text, props = {}) {
  if (!href || !/^(https?:\/\/|\.{0,2}\/|\?)/.test(href)) return null;
  const outside = /^https?:/.test(href);
  return el("a", { href, target: outside ? "_blank" : href.startsWith("?") ? null : "_top", rel: outside ? "noopener" : null, ...props }, text);
}

const pad = (number) => String(number).padStart(2, "0");

/** Format a time (ISO text, or seconds since 1970) in UTC: 2026-03-02 05:00, or with its seconds 05:00:20. */
export function utc(at, seconds = false) {
  const d = new Date(typeof at === "number" ? at * 1000 : at);
  const day = `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`;
  return `${day} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}${seconds ? `:${pad(d.getUTCSeconds())}` : ""}`;
}

/** Format the end of a window of this model in UTC; with seconds where its windows end between minutes. */
export function windowEnd(data, index) {
  return utc(data.series.time[index], data.series.time.some((time) => time % 60));
}

/** Format a duration in seconds: 3 h 12 min. */
export function span(seconds) {
  if (Math.abs(seconds) < 59.5) return `${Math.round(Math.abs(seconds))} s`;
  const minutes = Math.round(Math.abs(seconds) / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${Math.round(minutes / 60)} h`;
  return `${Math.round(hours / 24)} days`;
}

function age(iso, now) {
  const seconds = (new Date(iso) - new Date(now)) / 1000;
  return `${utc(iso)} UTC (${seconds <= 0 ? `${span(seconds)} ago` : `in ${span(seconds)}`})`;
}
const dueText = (iso, now) => `${new Date(iso) < new Date(now) ? "Due since " : ""}${age(iso, now)}`;

/** Return a time with its distance from now: "2026-03-02 05:00 UTC (3 h ago)". */
export function when(iso, now) { return el("time", { dateTime: iso, class: "nowrap" }, age(iso, now)); }

/** Return when something is planned; of a time that has passed, since when it is due. */
export function due(iso, now) { return el("time", { dateTime: iso, class: "nowrap due" }, dueText(iso, now)); }

/** Write the distances anew, without drawing anything else. */
export function updateAges(root, now) {
  for (const node of root.querySelectorAll("time")) node.textContent = (node.classList.contains("due") ? dueText : age)(node.dateTime, now);
}

/** Format a number with three digits; a dash for none. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(digits)).toString();
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${Number((100 * value).toPrecision(3))} %`;
}

const SIGNS = { bad: "✖", warning: "▲", notice: "●", good: "✔" };

/** Return the badge of a state: a sign and a word, so that colour is never alone. */
export function badge(state) {
  const sign = el("span", { "aria-hidden": "true" }, SIGNS[state.level] || "");
  return el("span", { class: `badge ${state.level}` }, sign, ` ${state.state.replaceAll("_", " ")}`);
}

/** Return a table from column names and rows of texts or nodes; it scrolls inside its own box. */
export function table(caption, columns, rows) {
  const head = el("tr", {}, columns.map((name) => el("th", { scope: "col" }, name)));
  const body = rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell ?? "–"))));
  const inner = el("table", {}, el("caption", { class: "sr" }, caption), el("thead", {}, head), el("tbody", {}, body));
  return el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": caption }, inner);
}
