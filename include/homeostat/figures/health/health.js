// The entry of the pages: reads the address, loads the data, and shows the fleet or one model.
import { el, updateAges, utc } from "./dom.js";
import { showFleet } from "./fleet.js";
import { showModel } from "./model.js";

const REFRESH_MS = 30000, REDRAW_MS = 300000;
const byId = (id) => document.getElementById(id);
const asksForToken = document.body.dataset.tokens === "yes";
let token = asksForToken ? sessionStorage.getItem("token") || "" : "";
let shown = "";
let drawnAt = 0;

async function load(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { headers, cache: "no-store", credentials: "same-origin" });
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  const error = new Error(body.message || body.detail || `The server responded with status ${response.status}.`);
  error.status = response.status;
  throw error;
}

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

function askForToken(error) {
  byId("login-error").textContent = error.status === 403 ? error.message : "";
  byId("login").hidden = false;
  byId("content").replaceChildren();
  shown = "";
}

async function refresh() {
  const query = new URLSearchParams(location.search);
  const model = query.get("model");
  const range = query.get("range") || "30d";
  try {
    const path = model ? `health/models/${encodeURIComponent(model)}?range=${encodeURIComponent(range)}` : "health/models";
    const data = await load(path);
    const text = JSON.stringify({ ...data, now: "" });
    byId("login").hidden = true;
    problem("");
    byId("updated").textContent = `Updated ${utc(data.now)} UTC`;
    updateAges(byId("content"), data.now);
    const old = Date.now() - drawnAt > REDRAW_MS;  // for the ages of things, when nothing else is new
    if ((text === shown && !old) || busy()) return;
    shown = text;
    drawnAt = Date.now();
    document.title = model ? `${model}: ${data.state.state.replaceAll("_", " ")}` : "Model health";
    if (!model) byId("fleet-link").setAttribute("aria-current", "page");
    const top = window.scrollY;
    (model ? showModel : showFleet)(byId("content"), data);
    window.scrollTo(0, top);
  } catch (error) {
    if (asksForToken && (error.status === 401 || error.status === 403)) askForToken(error);
    else problem(error.status ? error.message : "The server does not respond. What is shown may be old.");
    if (!shown && error.status) byId("content").replaceChildren(el("p", {}, error.status === 404 ? "There is no such model." : ""));
  }
}

/** Whether a redraw would take the focus away. */
function busy() {
  const active = document.activeElement;
  return shown !== "" && byId("content").contains(active) && active !== byId("content");
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem("token", token);
  refresh();
});
refresh();
setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
