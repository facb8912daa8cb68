// One model: what is wrong, since when, why, what was done, what is left; then the past.
import { badge, due, el, link, number, percent, present, table, utc, when, windowEnd } from "./dom.js";
import { chart, MARK_SIGNS } from "./charts.js";
import { heatMap } from "./heatmap.js";

const RANGES = [["7d", "7 days"], ["30d", "30 days"], ["90d", "90 days"], ["all", "All"]];
const LINKS = { gateway: "Gateway", airflow: "Airflow", drift_check: "Drift checks in Airflow", retrain: "Retrains in Airflow", versions: "Versions in MLflow" };

export function showModel(content, data) {
  content.replaceChildren(...present([
    el("h1", {}, data.model),
    hero(data),
    el("div", { class: "boxes" }, why(data), done(data), left(data), next(data)),
    links(data),
    el("div", { class: "past" }, el("h2", {}, "Over time"), ranges(data)),
    legend(),
  ]));
  if (data.series.time.length) charts(content, data);
  else content.append(el("p", { class: "soft" }, "No drift check in this range."));
  content.append(...present([section("Features", heatMap(data)), slices(data), history(data), versions(data), asTable(data)]));
}

function hero(data) {
  const { state } = data;
  const served = data.served ? `${data.served.sentence[0].toUpperCase()}${data.served.sentence.slice(1)}.` : data.champion ? `Version ${data.champion} is champion.` : "";
  const also = data.also.map((other) => el("li", {}, badge(other), ` ${other.sentence}`, other.since ? [" Since ", when(other.since, data.now), "."] : ""));
  return el("section", { class: `hero ${state.level}`, "aria-label": "State" },
    el("p", { class: "state" }, badge(state), " ", el("strong", {}, state.sentence)),
    el("p", {}, state.since ? ["Since ", when(state.since, data.now), ". "] : "", served),
    also.length ? el("ul", { class: "also", "aria-label": "Also" }, also) : null);
}

function box(title, ...children) { return el("section", { class: "box" }, el("h2", {}, title), children); }
function section(title, ...children) { return el("section", {}, el("h2", {}, title), children); }

function why(data) {
  const reasons = [...data.state.why, ...data.also.flatMap((other) => other.why)];
  const settings = Object.entries(data.settings);
  return box("Why",
    reasons.length ? el("ul", {}, reasons.map((reason) => el("li", {}, reason))) : el("p", { class: "soft" }, "No check has found anything."),
    settings.length ? el("p", { class: "small settings" }, "Settings that decided: ", settings.map(([name, value]) => el("code", {}, `${name}: ${value}`))) : null);
}

function done(data) {
  const items = data.done.map((mark) => el("li", {}, markLine(mark, data)));
  return box("What was done",
    items.length ? el("ul", {}, items) : el("p", { class: "soft" }, "Nothing yet."),
    data.decision ? el("p", { class: "small" }, "Last decision: ", data.decision) : null);
}

function left(data) {
  return box("Left for a person", data.left.length
    ? el("ul", { class: "todo" }, data.left.map((text) => el("li", {}, text)))
    : el("p", {}, "Nothing: no step needs a person now."));
}

function next(data) {
  return box("Next", data.next.length
    ? el("ul", {}, data.next.map((event) => el("li", {}, event.sentence, event.at ? [el("br"), due(event.at, data.now)] : "")))
    : el("p", { class: "soft" }, "Nothing is planned."));
}

function links(data) {
  const found = Object.entries(data.links).map(([name, href]) => link(href, LINKS[name] || name)).filter(Boolean);
  return found.length ? el("nav", { class: "links", "aria-label": "Other pages of this model" }, found) : null;
}

function ranges(data) {
  return el("nav", { class: "ranges", "aria-label": "Range" }, RANGES.map(([name, text]) => {
    const query = new URLSearchParams({ model: data.model, range: name });
    return el("a", { href: `?${query}`, "aria-current": data.range === name ? "true" : null }, text);
  }));
}

function legend() {
  const marks = [["triggered", "retrain requested"], ["refused", "refused or failed"], ["promoted", "promoted"], ["rolled_back", "rolled back"]];
  return el("p", { class: "soft small legend" }, marks.map(([kind, text]) => el("span", { class: `mark ${kind}` }, el("b", { "aria-hidden": "true" }, MARK_SIGNS[kind]), ` ${text}`)), el("span", {}, "Shaded: one band per version."));
}

function figure(content, title, note, draw, missing) {
  const node = el("figure", { class: "chart" }, el("h3", {}, title), note ? el("p", { class: "soft small" }, note) : null);
  node.dataset.title = title;
  content.append(node);
  if (missing) node.append(el("p", { class: "soft" }, missing));
  else draw(node);
}

const has = (values) => values.some((value) => value !== null);
/** Return a range with room around the values, within the range of the metric: no axis shows an accuracy of 1.25. */
const within = (metric, [min, max]) => {
  const room = 0.1 * (max - min);  // for a line along the limit, and the names of the bands; the axis leaves it blank
  return [metric.low === null ? min : Math.max(min, metric.low - room), metric.high === null ? max : Math.min(max, metric.high + room)];
};
const padded = (low, high, limits, floor) => {
  const known = [low, high, ...limits.map((limit) => limit.value)].filter((value) => value !== null && Number.isFinite(value));
  const [min, max] = [Math.min(...known), Math.max(...known)];
  const room = (max - min || Math.abs(max) || 1) * 0.12;
  return [floor ?? min - room, max + room];
};

function charts(content, data) {
  const s = data.series, setting = (name) => Number(data.limits[name]);
  const title = data.metric.title;
  const thinned = data.windows.checked > data.windows.shown ? `${data.windows.shown} of ${data.windows.checked} windows are shown: of each part of the range the worst.` : "";
  const scores = [
    { name: title, values: s.score, color: "--line" },
    { name: "low", values: s.low, color: "--interval-edge" }, { name: "high", values: s.high, color: "--interval-edge" },
    { name: "expected", values: s.baseline, color: "--expected", dash: [6, 4], stepped: true },
    { name: "newest step", values: s.step_score, color: "--dots", points: true },
    { name: "estimated accuracy", values: s.estimate, color: "--estimate", dash: [3, 3] },
  ];
  figure(content, `Score: ${title}`, `Mean of the last batches with its 95 % interval, beside what the version scored before it was promoted. ${data.metric.higher_is_better ? "Higher" : "Lower"} is better. ${thinned}`,
    (node) => chart(node, data, { lines: scores, band: [2, 3], format: number, metric: data.metric, range: (low, high, limits) => within(data.metric, padded(low, high, limits)), height: 230 }),
    has(s.score) || has(s.estimate) ? "" : "No labels have arrived in this range, and the accuracy cannot be estimated.");
  const share = setting("monitor.drifted_share");
  figure(content, "Drifted share of the features", "", (node) => chart(node, data, {
    lines: [{ name: "drifted", values: s.drifted_share, color: "--line" }], filled: true, format: percent,
    limits: share ? [{ value: share, name: "monitor.drifted_share" }] : [], range: (low, high, limits) => [0, Math.max(0.1, padded(low, high, limits, 0)[1])],
  }), has(s.drifted_share) ? "" : "Not computable in this range.");
  figure(content, "Traffic: rows in the newest step", "", (node) => chart(node, data, {
    lines: [{ name: "rows", values: s.rows, color: "--line" }], format: number, range: (low, high, limits) => padded(low, high, limits, 0),
  }), has(s.rows) ? "" : "Not recorded in this range: no gateway logs the requests, or an earlier release counted them.");
  const limit = setting("rollback.p99_latency_ms");
  figure(content, "Latency of requests in ms", "", (node) => chart(node, data, {
    lines: [{ name: "p99", values: s.p99_ms, color: "--line" }, { name: "p50", values: s.p50_ms, color: "--expected" }], format: number,
    limits: limit && limit < 4 * Math.max(...s.p99_ms) ? [{ value: limit, name: "rollback.p99_latency_ms" }] : [], range: (low, high, limits) => padded(low, high, limits, 0),
  }), has(s.p99_ms) ? "" : "Not recorded in this range: no gateway logs the requests, or an earlier release counted them.");
}

function markLine(mark, data) {
  const pages = [link(mark.run, "run in Airflow"), link(mark.url, "MLflow")].filter(Boolean);
  return [el("span", { class: `mark ${mark.kind}` }, el("b", { "aria-hidden": "true" }, MARK_SIGNS[mark.kind]), " ", el("b", {}, mark.title)), " ", when(mark.at, data.now), el("br"),
    mark.reason, mark.by ? el("span", { class: "soft" }, ` (${mark.by})`) : null, pages.map((page) => [" ", page])];
}

function history(data) {
  if (!data.marks.length) return section("What happened", el("p", { class: "soft" }, "Nothing in this range."));
  const items = [...data.marks].reverse().map((mark) => el("li", {}, markLine(mark, data)));
  const rest = items.slice(12);
  return section("What happened", el("ul", { class: "history" }, items.slice(0, 12)),
    rest.length ? el("details", {}, el("summary", {}, `${rest.length} older`), el("ul", { class: "history" }, rest)) : null);
}

function versions(data) {
  if (!data.versions.length) return null;
  const rows = [...data.versions].reverse().map((version) => [
    link(version.url, version.version) || version.version, when(version.at, data.now), version.trained_until ? utc(version.trained_until) : null,
    Object.entries(version.metrics).slice(0, 3).map(([name, value]) => `${name} ${number(value)}`).join(", "),
    el("span", {}, [link(version.training_url, "training run"), " ", link(version.run, "run in Airflow")].filter(Boolean)),
  ]);
  const current = data.versions.find((version) => version.version === data.champion);
  const slices = current?.slices.length
    ? section(`Slices of version ${current.version} on its holdout`, table("Scores of the slices", ["Slice", "Score", "Rows"], current.slices.map((slice) => [slice.name, number(slice.score), number(slice.rows)])))
    : null;
  return el("div", {}, section("Versions", table("Versions", ["Version", "Registered", "Trained until", "On its holdout", "Pages"], rows)), slices);
}

function slices(data) {
  const { slices: found, metric, reason } = data.slices;
  const note = reason ? el("p", { class: "soft small" }, `${reason[0].toUpperCase()}${reason.slice(1)}.`) : null;
  if (!found.length) return note ? section("Slices", note) : null;
  const word = (verdict) => verdict.replaceAll("_", " ");
  const rows = found.map((slice) => [
    slice.name, number(slice.rows), number(slice.labelled_rows), number(slice.score), number(slice.baseline), number(slice.decay),
    el("span", { class: slice.performance === "alert" ? "alerting" : null }, word(slice.performance)),
    el("span", { class: slice.drift === "alert" ? "alerting" : null }, slice.drifted.length ? `${word(slice.drift)} (${slice.drifted.slice(0, 3).join(", ")})` : word(slice.drift)),
    slice.performance === "pass" ? null : slice.reason,
  ]);
  const columns = ["Slice", "Rows", "Labelled", metric, "Expected", "Decay", "Performance", "Inputs", "Why"];
  return section("Slices", note, table("The watched slices in the newest window", columns, rows));
}

function asTable(data) {
  const s = data.series;
  const columns = ["Window end (UTC)", "Version", "Score", "95 % interval", "Expected", "Estimated", "Performance", "Drifted", "Drift", "Rows", "p99 ms", "Decision"];
  const details = el("details", {}, el("summary", {}, "The charts as a table"));
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const rows = s.time.map((_, i) => [windowEnd(data, i), s.version[i], number(s.score[i]), s.low[i] === null ? "–" : `${number(s.low[i])} to ${number(s.high[i])}`, number(s.baseline[i]), number(s.estimate[i]), s.performance[i].replaceAll("_", " "), percent(s.drifted_share[i]), s.drift[i].replaceAll("_", " "), number(s.rows[i]), number(s.p99_ms[i]), s.reason[i]]).reverse();
    details.append(table("All windows of the charts", columns, rows));
  });
  return el("section", {}, details);
}
