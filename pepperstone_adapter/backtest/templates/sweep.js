// The sweep's page: a figure over the grid, and the runs in a table that sorts.
const MOST_ROWS = 500, KEYS = DATA.axes.length;
const valueOf = (row, axis) => DATA.axes[axis].values[row.at[axis]];
const setting = (axis, extra = {}) => ({ title: { text: DATA.axes[axis].name }, ...extra });
const wide = { l: 80, b: 50 };
// Red below zero, blue above, and nothing in between.
function colours(values) {
  const low = Math.min(...values), high = Math.max(...values);
  if (low >= 0) return { colorscale: [[0, css("--grid")], [1, css("--accent")]] };
  if (high <= 0) return { colorscale: [[0, css("--down")], [1, css("--grid")]] };
  const most = Math.max(-low, high), ends = [-most, most];
  return { colorscale: [[0, css("--down")], [0.5, css("--grid")], [1, css("--accent")]], ends };
}

function drawLine(f) {
  const rows = DATA.rows.filter((r) => r.values[f] !== null).sort((a, b) => a.at[0] - b.at[0]), [axis] = DATA.axes;
  const x = rows.map((r) => axis.numeric ? Number(valueOf(r, 0)) : valueOf(r, 0));
  plot("chart-sweep", [{ x, y: rows.map((r) => r.values[f]), text: rows.map((r) => r.texts[f]),
    mode: axis.numeric ? "lines+markers" : "markers", line: { color: css("--accent"), width: 1.6 }, marker: { size: 8 },
    hovertemplate: `%{text}<extra></extra>` }],
  layout(460, { margin: wide, xaxis: setting(0, { type: axis.numeric ? "linear" : "category" }),
    yaxis: { title: { text: DATA.figures[f].name }, zeroline: true, zerolinecolor: css("--soft") } }));
}

function drawHeat(f) {
  const empty = () => DATA.axes[0].values.map(() => DATA.axes[1].values.map(() => null)), z = empty(), text = empty();
  DATA.rows.forEach((r) => { z[r.at[0]][r.at[1]] = r.values[f]; text[r.at[0]][r.at[1]] = r.texts[f]; });
  const few = DATA.rows.length <= 150, { colorscale, ends } = colours(z.flat().filter((v) => v !== null));
  plot("chart-sweep", [{ type: "heatmap", z, text, x: DATA.axes[1].values, y: DATA.axes[0].values, hoverongaps: false,
    colorscale, zmin: ends?.[0], zmax: ends?.[1], colorbar: { outlinewidth: 0 },
    texttemplate: few ? "%{text}" : "", xgap: 1, ygap: 1,
    hovertemplate: `${DATA.axes[0].name} %{y}, ${DATA.axes[1].name} %{x}: %{text}<extra></extra>` }],
  layout(460, { hovermode: "closest", margin: wide, xaxis: setting(1, { type: "category", showgrid: false }),
    yaxis: setting(0, { type: "category", showgrid: false }) }));
}

function drawParallel(f) {
  const rows = DATA.rows.filter((r) => r.values[f] !== null), color = rows.map((r) => r.values[f]);
  const dimensions = DATA.axes.map((axis, i) => ({ label: axis.name, values: rows.map((r) => r.at[i]),
    range: [0, Math.max(1, axis.values.length - 1)], tickvals: axis.values.map((_, n) => n), ticktext: axis.values }));
  const { colorscale, ends } = colours(color);
  dimensions.push({ label: DATA.figures[f].name, values: color });
  plot("chart-sweep", [{ type: "parcoords", dimensions, labelfont: { size: 12 },
    line: { color, colorscale, cmin: ends?.[0], cmax: ends?.[1], showscale: true } }],
  layout(460, { margin: { l: 80, r: 60, t: 50, b: 30 } }));
}

function draw() {
  [drawLine, drawHeat, drawParallel][Math.min(KEYS, 3) - 1](Number(byId("figure").value));
}

// The rows come best first; a column sorts down, then up. What has no figure stays last. JSON has no infinity.
const order = { column: null, up: false };
const figureOf = (r, f) => r.texts[f] === "∞" ? Number.MAX_VALUE : r.values[f];

function fillTable() {
  const key = (r) => order.column === 0 ? r.run
    : order.column <= KEYS ? r.at[order.column - 1] : figureOf(r, order.column - 1 - KEYS);
  const rows = order.column === null ? DATA.rows : DATA.rows.toSorted((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return (x - y) * (order.up ? 1 : -1);
  });
  byId("run-rows").replaceChildren(...rows.slice(0, MOST_ROWS).map((r) => {
    const line = document.createElement("tr");
    [r.run, ...r.at.map((_, i) => valueOf(r, i)), ...r.texts, r.error].forEach((value, i, all) => {
      const cell = document.createElement("td");
      cell.textContent = value;
      if (i === all.length - 1) cell.className = "left reason";
      line.appendChild(cell);
    });
    return line;
  }));
  byId("run-note").textContent =
    rows.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${rows.length} runs; sweep.csv has all.` : "";
  document.querySelectorAll("#runs th[data-sort]").forEach((th, i) =>
    th.setAttribute("aria-sort", i === order.column ? (order.up ? "ascending" : "descending") : "none"));
}

document.querySelectorAll("#runs th[data-sort]").forEach((th, i) => { th.onclick = () => {
  order.up = order.column === i ? !order.up : false; order.column = i; fillTable();
}; });
byId("figure").onchange = draw;
fillTable();
startPage(draw);
