// The fleet: every model in a row, the worst first; filter, sort.
import { badge, el, link, number, percent, span } from "./dom.js";

const LEVELS = [["bad", "Bad"], ["warning", "Warning"], ["notice", "Notice"], ["good", "Good"]];
const COLUMNS = [
  { name: "Model", key: (row) => row.model, text: true },
  { name: "State", key: (row) => row.rank },
  { name: "Since", key: (row) => (row.since ? Date.parse(row.since) : Infinity) },
  { name: "Score", key: (row) => row.score },
  { name: "Expected", key: (row) => row.baseline },
  { name: "Drifted", key: (row) => row.drifted_share, down: true },
  { name: "Rows", key: (row) => row.rows, down: true },
  { name: "Checked", key: (row) => (row.checked_at ? Date.parse(row.checked_at) : null) },
];
// Kept over a refresh.
const choice = { text: "", levels: new Set(), column: 1, down: false };

export function showFleet(content, data) {
  const counts = Object.fromEntries(LEVELS.map(([level]) => [level, data.models.filter((row) => row.level === level).length]));
  const body = el("tbody");
  const status = el("p", { class: "soft", role: "status" });
  const draw = () => {
    const rows = chosen(data.models);
    body.replaceChildren(...rows.map((row) => line(row, data.now)));
    status.textContent = `${rows.length} of ${data.models.length} models`;
  };
  const filter = el("input", { type: "search", id: "filter", value: choice.text, placeholder: "model, state, or text of the sentence" });
  filter.addEventListener("input", () => { choice.text = filter.value; draw(); });
  const chips = LEVELS.map(([level, name]) => chip(level, `${name} ${counts[level]}`, draw));
  const heads = COLUMNS.map((column, index) => head(column, index, draw));
  content.replaceChildren(
    el("h1", {}, "Model health"),
    el("p", { class: "lead" }, summary(data.models, counts)),
    el("div", { class: "tools" }, el("label", { for: "filter" }, "Filter"), filter, el("div", { class: "chips", role: "group", "aria-label": "Levels" }, chips)),
    status,
    el("table", { class: "fleet" },
      el("caption", { class: "sr" }, "Models, the worst first. Buttons in the header sort."),
      el("thead", {}, el("tr", {}, heads)), body),
  );
  if (!data.models.length) content.append(el("p", {}, "No models yet. Create one with ", el("code", {}, "homeostat new MODEL"), "."));
  draw();
}

function summary(models, counts) {
  if (!models.length) return "";
  if (!counts.bad && !counts.warning) return "No model needs attention.";
  const worst = models[0];
  const others = counts.bad + counts.warning - 1;
  return `${worst.model}: ${worst.sentence}${others > 0 ? ` ${others} more ${others === 1 ? "model needs" : "models need"} attention.` : ""}`;
}

function chip(level, text, draw) {
  const button = el("button", { type: "button", class: `chip ${level}`, "aria-pressed": String(choice.levels.has(level)) }, text);
  button.addEventListener("click", () => {
    if (!choice.levels.delete(level)) choice.levels.add(level);
    button.setAttribute("aria-pressed", String(choice.levels.has(level)));
    draw();
  });
  return button;
}

function head(column, index, draw) {
  const button = el("button", { type: "button" }, column.name);
  const cell = el("th", { scope: "col", class: column.text ? "" : `c${index}` }, button);
  const mark = () => cell.setAttribute("aria-sort", choice.column === index ? (choice.down ? "descending" : "ascending") : "none");
  button.addEventListener("click", () => {
    choice.down = choice.column === index ? !choice.down : Boolean(column.down);
    choice.column = index;
    for (const other of cell.parentElement.children) other.setAttribute("aria-sort", "none");
    mark();
    draw();
  });
  mark();
  return cell;
}

function chosen(models) {
  const words = choice.text.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = models.filter((row) => {
    const text = `${row.model} ${row.state.replaceAll("_", " ")} ${row.sentence}`.toLowerCase();
    return words.every((word) => text.includes(word)) && (!choice.levels.size || choice.levels.has(row.level));
  });
  const { key } = COLUMNS[choice.column];
  const direction = choice.down ? -1 : 1;
  return kept.map((row, at) => [row, at]).sort(([a, i], [b, j]) => compare(key(a), key(b), direction) || i - j).map(([row]) => row);
}

/** Order values; what is not known comes last in either direction. */
function compare(a, b, direction) {
  const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
  if (noA || noB) return noA - noB;
  return direction * (a < b ? -1 : a > b ? 1 : 0);
}

function line(row, now) {
  const age = (iso) => (iso ? span((new Date(now) - new Date(iso)) / 1000) : "–");
  const worse = row.score !== null && row.baseline !== null && row.state === "failing";
  const version = row.candidate ? `version ${row.champion ?? "–"}, ${row.phase} of ${row.candidate}` : `version ${row.champion ?? "–"}`;
  const cell = (index, text, props = {}) => el("td", { class: `c${index} ${props.class || ""}`, "data-name": COLUMNS[index].name, title: props.title }, text);
  return el("tr", { class: row.level },
    el("th", { scope: "row" }, link(`?model=${encodeURIComponent(row.model)}`, row.model), el("span", { class: "soft small" }, version)),
    el("td", { class: "c1", "data-name": "State" }, badge(row), el("span", { class: "why" }, row.sentence), row.left ? el("span", { class: "todo" }, `To do: ${row.left}`) : null),
    cell(2, age(row.since), { title: row.since || "" }),
    cell(3, number(row.score), { class: worse ? "worse" : "", title: row.score_text || row.metric || "" }),
    cell(4, number(row.baseline)),
    cell(5, percent(row.drifted_share)),
    cell(6, number(row.rows)),
    cell(7, row.checked_at ? `${age(row.checked_at)} ago` : "never", { title: row.checked_at || "" }),
  );
}
