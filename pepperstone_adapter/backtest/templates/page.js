"use strict";
// What every page shares: its data, its theme, and the chart library, carried compressed and unpacked here, offline.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const number = (v, digits = DATA.digits) =>
  v.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
const stamp = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const times = (list) => list.map((ms) => new Date(ms).toISOString().slice(0, 19));

async function loadPlotly() {
  const bytes = Uint8Array.from(atob(byId("plotly").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.appendChild(script);
}

function layout(height, extra = {}) {
  const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, tickfont: { size: 11.5 } };
  const { xaxis, yaxis, yaxis2, margin, ...rest } = extra;
  return {
    height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: "zoom", hovermode: "x unified",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--ink") },
    margin: { l: 62, r: 12, t: 8, b: 34, ...margin }, showlegend: false,
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink") } },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
    ...(yaxis2 ? { yaxis2: { ...axis, ...yaxis2 } } : {}), ...rest,
  };
}

function plot(id, traces, shape) {
  const node = byId(id);
  if (node) Plotly.react(node, traces, shape, { displaylogo: false, responsive: true, displayModeBar: false });
}

function startPage(draw) {
  const show = (name) => {
    document.documentElement.dataset.theme = name;
    byId("theme").textContent = name === "dark" ? "Light" : "Dark";
  };
  const choice = new URLSearchParams(location.search).get("theme");
  show(choice || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  byId("theme").onclick = () => {
    show(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    draw();
  };
  loadPlotly().then(draw);
}
