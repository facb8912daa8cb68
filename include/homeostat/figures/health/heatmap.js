// One row per feature, one column per window: how far each feature was from its reference.
import { el, link, number, windowEnd } from "./dom.js";

const VERDICTS = { a: "alert", p: "pass", n: "not computable", "-": "not compared" };
const ROW = 20;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Show the strips of all features, and below them the selected cell. */
export function heatMap(data) {
  const rows = [...data.heat_map.features, ...data.heat_map.outputs.map((row) => ({ ...row, output: true }))];
  if (!rows.length || !data.series.time.length) return el("p", { class: "soft" }, "No window has compared features in this range.");
  const top = Math.max(0.3, ...rows.flatMap((row) => row.effects.filter((effect) => effect !== null)));
  const detail = el("div", { class: "detail", "aria-live": "polite" }, "Select a cell to see the window and to open reference against window.");
  const strips = rows.map((row) => strip(row, data, top, detail));
  const more = data.heat_map.left_out ? ` ${data.heat_map.left_out} features with smaller effects are left out.` : "";
  return el("div", {},
    el("div", { class: "strips" }, strips),
    el("div", { class: "ends soft small" }, el("span", {}, windowEnd(data, 0)), el("span", {}, `${windowEnd(data, data.series.time.length - 1)} UTC`)),
    el("p", { class: "soft small" }, `Stronger colour: farther from the reference (KS distance or Cramér's V, up to ${number(top)}). A bar on top marks an alert. Arrow keys move, Enter opens.${more}`),
    detail);
}

function strip(row, data, top, detail) {
  const count = row.effects.length;
  const canvas = el("canvas", { "aria-hidden": "true" });
  const last = row.verdicts.at(-1);
  const bar = el("div", { class: "strip", tabIndex: 0, role: "slider", "aria-label": `${row.name}, effect by window`, "aria-valuemin": "1", "aria-valuemax": String(count), "aria-valuenow": String(count), "aria-valuetext": say(row, data, count - 1) }, canvas);
  let at = count - 1;
  const draw = () => paint(canvas, bar, row, top, bar === document.activeElement ? at : -1);
  const select = (index) => {
    at = Math.min(count - 1, Math.max(0, index));
    bar.setAttribute("aria-valuenow", String(at + 1));
    bar.setAttribute("aria-valuetext", say(row, data, at));
    show(detail, row, data, at);
    draw();
  };
  bar.addEventListener("click", (event) => { bar.focus(); select(Math.floor((event.offsetX / bar.clientWidth) * count)); });
  bar.addEventListener("focus", draw);
  bar.addEventListener("blur", draw);
  bar.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: count - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); select(to); }
    if (event.key === "Enter") { select(at); detail.querySelector("a")?.click(); }
  });
  new ResizeObserver(draw).observe(bar);
  return [el("span", { class: `name ${last === "a" ? "alerting" : ""}`, title: row.name }, row.output ? `${row.name} (output)` : row.name), bar];
}

function paint(canvas, bar, row, top, selected) {
  const scale = devicePixelRatio, width = bar.clientWidth;
  canvas.width = width * scale;
  canvas.height = ROW * scale;
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  const step = width / row.effects.length, [cold, hot, alert, none] = ["--cold", "--hot", "--bad", "--grid"].map(color);
  row.effects.forEach((effect, i) => {
    const x = i * step, w = Math.max(step - (step > 4 ? 1 : 0), 0.7);
    ctx.globalAlpha = 1;
    ctx.fillStyle = effect === null ? none : cold;
    ctx.fillRect(x, 0, w, ROW);
    if (effect !== null) {
      ctx.globalAlpha = Math.min(1, effect / top);
      ctx.fillStyle = hot;
      ctx.fillRect(x, 0, w, ROW);
    }
    ctx.globalAlpha = 1;
    if (row.verdicts[i] === "a") { ctx.fillStyle = alert; ctx.fillRect(x, 0, w, 4); }
    if (i === selected) { ctx.strokeStyle = color("--ink"); ctx.lineWidth = 2; ctx.strokeRect(x, 1, Math.max(w, 3), ROW - 2); }
  });
}

function say(row, data, index) {
  return `${windowEnd(data, index)} UTC, effect ${number(row.effects[index])}, ${VERDICTS[row.verdicts[index]]}`;
}

function show(detail, row, data, index) {
  const report = link(data.series.report[index], "Reference against window");
  const reason = index === row.effects.length - 1 && row.reason ? ` ${row.reason}.` : "";
  detail.replaceChildren(el("b", {}, row.name), ` ${say(row, data, index)}.${reason} `, report || "", " ", link(data.series.url[index], "The run of its day in MLflow") || "");
}
