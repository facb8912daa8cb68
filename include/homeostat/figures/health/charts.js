// Time series with uPlot: versions as bands behind the lines, what happened as marks across them.
import { el, utc, windowEnd } from "./dom.js";

const SYNC = "health";
const MARK_COLORS = { promoted: "--good", rolled_back: "--bad", refused: "--bad", failed: "--bad", triggered: "--warning", probe: "--soft", superseded: "--soft", rollout: "--soft" };
export const MARK_SIGNS = { promoted: "▲", rolled_back: "▼", refused: "✖", failed: "✖", triggered: "↻", probe: "○", superseded: "–", rollout: "·" };

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draw one chart into a figure that has a title, a readout for the keyboard, and room for the canvas.
 *
 * `lines`: [{ name, values, color, dash, points, format }]; `band`: [low, high] indices into lines, 1-based;
 * `limits`: [{ value, name }]; `metric`: the axis has no values beyond its `low` and `high`; `data`: the whole answer of the API.
 */
export function chart(figure, data, { lines, band, limits = [], metric = null, range, format, filled = false, height = 170 }) {
  const times = data.series.time;
  const marks = data.marks.map((mark) => ({ ...mark, time: Date.parse(mark.at) / 1000 })).filter((mark) => mark.kind !== "rollout");
  const box = el("div", { class: "plot", tabIndex: 0, role: "application", "aria-label": `${figure.dataset.title}: use the arrow keys to read the values` });
  const readout = el("figcaption", { class: "readout", "aria-live": "polite" });
  figure.append(box, readout);
  const read = (index) => { readout.replaceChildren(...describe(index, data, lines, format)); };
  const series = [{}, ...lines.map((line) => ({
    label: line.name,
    stroke: color(line.color),
    width: line.points ? 0 : 2,
    dash: line.dash,
    spanGaps: false,
    fill: filled ? color("--fill") : undefined,
    paths: filled || line.stepped ? uPlot.paths.stepped({ align: -1 }) : undefined,
    points: line.points ? { show: true, size: 4, fill: color(line.color), width: 0 } : { show: sparse(line.values), size: 5 },
  }))];
  const axis = { stroke: color("--soft"), grid: { stroke: color("--grid"), width: 1 }, ticks: { stroke: color("--grid"), width: 1 }, font: "12px system-ui, sans-serif" };
  const plot = new uPlot({
    width: box.clientWidth || 600,
    height,
    padding: [null, 28, null, null],  // room for the last time
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { y: { range: (_, low, high) => range(low, high, limits) } },
    series,
    bands: band ? [{ series: [band[1], band[0]], fill: color("--interval") }] : [],
    axes: [{ ...axis, values: timeLabels, space: 70 }, { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (possible(tick, metric) ? format(tick) : null)) }],
    hooks: {
      drawClear: [(u) => { drawBands(u, data); drawLimits(u, limits); }],
      draw: [(u) => drawMarks(u, marks)],
      setCursor: [(u) => read(u.cursor.idx ?? times.length - 1)],
    },
  }, [times, ...lines.map((line) => line.values)], box);
  read(times.length - 1);
  keys(box, plot, times);
  new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height })).observe(box);
  return plot;
}

/** Whether a metric can have this value; a quantity without a metric can have any. */
function possible(value, metric) {
  return !metric || ((metric.low === null || value >= metric.low) && (metric.high === null || value <= metric.high));
}

function sparse(values) { return values.filter((value) => value !== null).length < 40; }

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
function timeLabels(_, ticks, __, ___, step) {
  return ticks.map((tick) => {
    const text = utc(tick, step < 60), day = `${Number(text.slice(8, 10))} ${MONTHS[Number(text.slice(5, 7)) - 1]}`;
    return step >= 86400 || /^00:00(:00)?$/.test(text.slice(11)) ? day : text.slice(11);
  });
}

function describe(index, data, lines, format) {
  const s = data.series;
  const parts = [el("b", {}, `${windowEnd(data, index)} UTC`), ` version ${s.version[index]}`];
  for (const line of lines) {
    const value = line.values[index];
    const key = el("i", { class: `key ${line.color.slice(2)}`, "aria-hidden": "true" });
    if (value !== null && value !== undefined) parts.push(el("span", { class: "value" }, key, `${line.name} ${format(value)}`));
  }
  return parts;
}

function drawBands(u, data) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  data.bands.forEach((band, number) => {
    const left = u.valToPos(Date.parse(band.start) / 1000, "x", true), right = u.valToPos(Date.parse(band.end) / 1000, "x", true);
    ctx.fillStyle = color(number % 2 ? "--band-odd" : "--band-even");
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.fillStyle = color("--soft");
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    const text = `v${band.version}`;
    if (right - left > ctx.measureText(text).width + 8) ctx.fillText(text, Math.max(left, bbox.left) + 4 * devicePixelRatio, bbox.top + 12 * devicePixelRatio);
  });
  ctx.restore();
}

function drawLimits(u, limits) {
  const { ctx, bbox } = u;
  for (const limit of limits) {
    const y = u.valToPos(limit.value, "y", true);
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = color("--bad");
    ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.fillText(limit.name, bbox.left + 30 * devicePixelRatio, y - 4 * devicePixelRatio);
    ctx.restore();
  }
}

function drawMarks(u, marks) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.textAlign = "center";
  ctx.font = `bold ${12 * devicePixelRatio}px system-ui, sans-serif`;
  for (const mark of marks) {
    const x = u.valToPos(mark.time, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = color(MARK_COLORS[mark.kind]);
    ctx.globalAlpha = 0.55;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.fillText(MARK_SIGNS[mark.kind], x, bbox.top + bbox.height - 4 * devicePixelRatio);
  }
  ctx.restore();
}

/** Move the cursor by the arrow keys, Home and End. */
function keys(box, plot, times) {
  let index = times.length - 1;
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    index = Math.min(times.length - 1, Math.max(0, (plot.cursor.idx ?? index) + steps[event.key]));
    plot.setCursor({ left: plot.valToPos(times[index], "x"), top: 10 });
  });
}
