// The run report: what each chart and the trades table show.
const MONEY = `,.${DATA.digits}f`;

function drawEquity() {
  const e = DATA.equity, t = times(e.t);
  plot("chart-equity", [
    { x: t, y: e.balance, name: "Balance", mode: "lines", line: { color: css("--second"), width: 1.2, shape: "hv" } },
    { x: t, y: e.equity, name: "Equity", mode: "lines", line: { color: css("--accent"), width: 1.6 } },
    { x: t, y: e.drawdown, name: "Drawdown %", mode: "lines", yaxis: "y2", fill: "tozeroy",
      line: { color: css("--down"), width: 1 }, fillcolor: `rgba(${css("--down-bg")},.18)` },
  ], layout(430, {
    showlegend: true, legend: { orientation: "h", x: 0, y: 1.06, bgcolor: "rgba(0,0,0,0)" }, margin: { t: 26 },
    xaxis: { anchor: "y2", type: "date" },
    yaxis: { domain: [0.3, 1], tickformat: ",.0f", title: { text: DATA.currency, standoff: 8 } },
    yaxis2: { domain: [0, 0.24], ticksuffix: " %", rangemode: "tozero" },
  }));
}

function drawCosts() {
  const c = DATA.costs, before = Number((DATA.net + c.total - DATA.adjustments).toFixed(DATA.digits));
  const parts = [["Spread", -c.spread], ["Commission", -c.commission], ["Swap", -c.swap], ["Slippage", -c.slippage],
    ["Conversion", -c.conversion], ["Stop-out fees", -c.stop_out_fees], ["Written off", DATA.adjustments]]
    .filter(([, v]) => v !== 0);
  const values = [before, ...parts.map((p) => p[1]), DATA.net];
  const y = ["Before costs", ...parts.map((p) => p[0]), "Net"].map((name, i) => `${name}  <b>${number(values[i], 0)}</b>`);
  plot("chart-costs", [{
    type: "waterfall", orientation: "h", y, x: values,
    measure: ["absolute", ...parts.map(() => "relative"), "total"],
    hovertemplate: "%{y}<extra></extra>", connector: { line: { color: css("--line"), width: 1 } },
    increasing: { marker: { color: css("--up") } }, decreasing: { marker: { color: css("--down") } },
    totals: { marker: { color: css("--accent") } },
  }], layout(300, { hovermode: "closest", margin: { l: 140 }, yaxis: { autorange: "reversed" },
    xaxis: { tickformat: ",.0f", zeroline: true, zerolinecolor: css("--soft") } }));
}

// A trade of exactly zero is neither won nor lost, here as in the figures.
const outcome = (net) => (net > 0 ? "--up" : net < 0 ? "--down" : "--soft");
const T = { id: 0, strategy: 1, symbol: 2, side: 3, units: 4, opened: 5, closed: 6, net: 12, mae: 13, mfe: 14, exit: 15 };

function drawExcursions() {
  const make = (key, title, id) => {
    const rows = DATA.trades;
    plot(id, [{
      x: rows.map((t) => t[key]), y: rows.map((t) => t[T.net]), mode: "markers", type: "scattergl",
      marker: { size: 5, color: rows.map((t) => css(outcome(t[T.net]))), opacity: 0.6 },
      text: rows.map((t) => `${t[T.symbol]} ${t[T.side].toLowerCase()} ${stamp(t[T.opened])}<br>${t[T.exit]}`),
      hovertemplate: `%{text}<br>${title} %{x:${MONEY}}<br>net %{y:${MONEY}}<extra></extra>`,
    }], layout(290, { hovermode: "closest", xaxis: { title: { text: `${title}, ${DATA.currency}` }, tickformat: ",.0f" },
        yaxis: { title: { text: `Net, ${DATA.currency}` }, tickformat: ",.0f", zeroline: true,
          zerolinecolor: css("--soft") }, margin: { b: 44 } }));
  };
  make(T.mae, "Worst open loss (MAE)", "chart-mae");
  make(T.mfe, "Best open profit (MFE)", "chart-mfe");
}

function drawDistribution() {
  const net = DATA.trades.map((t) => t[T.net]);
  // Bins of one width for all colours, with an edge at zero: heights can be compared.
  const low = Math.min(0, ...net), high = Math.max(0, ...net), raw = (high - low) / 40 || 1;
  const power = 10 ** Math.floor(Math.log10(raw)), size = power * [1, 2, 5, 10].find((n) => n * power >= raw);
  const xbins = { start: Math.floor(low / size) * size, end: (Math.floor(high / size) + 1) * size, size };
  plot("chart-distribution", ["--up", "--down", "--soft"].map((color) => ({
    type: "histogram", x: net.filter((v) => outcome(v) === color), marker: { color: css(color), opacity: 0.8 },
    autobinx: false, xbins, hovertemplate: "%{x}: %{y} trades<extra></extra>",
  })), layout(290, { hovermode: "closest", barmode: "stack", bargap: 0.04, margin: { b: 44 },
    xaxis: { title: { text: `Net per trade, ${DATA.currency}` }, tickformat: ",.0f" }, yaxis: { title: { text: "Trades" } } }));
}

function drawGroups(which) {
  const rows = DATA.groups[which];
  document.querySelectorAll("[data-group]").forEach((b) =>
    b.setAttribute("aria-pressed", String(b.dataset.group === which)));
  const net = rows.map(([, g]) => g.net);
  plot("chart-groups", [{
    type: "bar", x: rows.map(([name]) => name.replace(/^\d (?=[A-Z])/, "")), y: net,
    customdata: rows.map(([, g]) => [g.count, g.win_pct]),
    marker: { color: net.map((v) => css(outcome(v))), opacity: 0.85 },
    hovertemplate: `%{x}: net %{y:${MONEY}}<br>%{customdata[0]} trades, %{customdata[1]:.1f} % won<extra></extra>`,
  }], layout(290, { hovermode: "closest", margin: { b: 44 }, xaxis: { type: "category", title: { text: "By entry time, UTC" } },
    yaxis: { tickformat: ",.0f", zeroline: true, zerolinecolor: css("--soft") } }));
}

function drawRolling() {
  const r = DATA.rolling;
  plot("chart-rolling", [{ x: r.t, y: r.sharpe, mode: "lines", line: { color: css("--accent"), width: 1.4 },
    hovertemplate: "%{y:.2f}<extra></extra>" }],
  layout(260, { yaxis: { zeroline: true, zerolinecolor: css("--soft") }, xaxis: { type: "date" } }));
}

function drawMargin() {
  const e = DATA.equity, t = times(e.t);
  plot("chart-margin", [
    { x: t, y: e.margin, name: "Margin level %", mode: "lines", connectgaps: false,
      line: { color: css("--accent"), width: 1.1 } },
    { x: t, y: e.open, name: "Open positions", mode: "lines", yaxis: "y2", line: { color: css("--second"), width: 1, shape: "hv" } },
  ], layout(260, {
    showlegend: true, legend: { orientation: "h", x: 0, y: 1.12, bgcolor: "rgba(0,0,0,0)" }, margin: { t: 26 },
    yaxis: { type: "log", domain: [0.36, 1], ticksuffix: " %",
      tickvals: [20, 50, 100, 300, 1e3, 3e3, 1e4], tickformat: ",", range: [1.2, 4.2] }, yaxis2: { domain: [0, 0.26], rangemode: "tozero", nticks: 4 },
    xaxis: { anchor: "y2", type: "date" },
    shapes: [[DATA.levels[0], "--second"], [DATA.levels[1], "--down"]].filter(([v]) => v).map(([v, color]) =>
      ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: v, y1: v, line: { color: css(color), width: 1, dash: "dot" } })),
  }));
}

function drawPrice(name) {
  const c = DATA.candles[name], f = DATA.fills[name];
  if (!c) return;
  document.querySelectorAll("[data-price]").forEach((b) =>
    b.setAttribute("aria-pressed", String(b.dataset.price === name)));
  const t = times(c.t), side = (buy) => {
    const at = f.t.map((_, i) => i).filter((i) => f.buy[i] === buy);
    return { x: times(at.map((i) => f.t[i])), y: at.map((i) => f.p[i]), text: at.map((i) => f.text[i]), mode: "markers",
      type: "scattergl", name: buy ? "Buy" : "Sell", hovertemplate: "%{text}<br>%{y}<extra></extra>",
      marker: { symbol: buy ? "triangle-up" : "triangle-down", size: 9, color: css(buy ? "--accent" : "--second"),
        line: { width: 0.8, color: css("--card") } } };
  };
  plot("chart-price", [
    { type: "candlestick", x: t, open: c.o, high: c.h, low: c.l, close: c.c, name: "Bid", hoverinfo: "skip",
      increasing: { line: { color: css("--up"), width: 1 } }, decreasing: { line: { color: css("--down"), width: 1 } } },
    side(true), side(false),
  ], layout(440, { hovermode: "closest", showlegend: true, legend: { orientation: "h", x: 0, y: 1.07, bgcolor: "rgba(0,0,0,0)" },
    margin: { t: 26 }, xaxis: { type: "date", rangeslider: { visible: false } } }));
  byId("price-note").textContent = c.merged > 1 ? `Each candle stands for ${c.merged} bars.` : "";
}

// Columns of the table are those of a row without its first, the position id.
const table = { rows: DATA.trades, sort: T.closed, up: false, page: 0, size: 25 };

function drawTrades() {
  const words = byId("trade-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = table.rows.filter((t) => words.every((w) => t.join(" ").toLowerCase().includes(w)));
  rows.sort((a, b) => {
    const [x, y] = [a[table.sort], b[table.sort]], numeric = Number(x) - Number(y);
    return (Number.isNaN(numeric) ? String(x).localeCompare(String(y)) : numeric) * (table.up ? 1 : -1);
  });
  const pages = Math.max(1, Math.ceil(rows.length / table.size));
  table.page = Math.min(table.page, pages - 1);
  const body = byId("trade-rows");
  body.replaceChildren(...rows.slice(table.page * table.size, (table.page + 1) * table.size).map((t) => {
    const row = document.createElement("tr");
    t.forEach((value, i) => {
      if (i === T.id) return;
      const cell = document.createElement("td");
      if (i === T.opened || i === T.closed) cell.textContent = stamp(value);
      else if (i >= 9 && i <= 14) cell.textContent = number(value);
      else cell.textContent = i === T.units ? number(value, value % 1 ? 2 : 0) : value;
      if (i === T.net) cell.className = outcome(value).slice(2);
      if ([1, 2, 3, 15].includes(i)) cell.classList.add("left");
      row.appendChild(cell);
    });
    return row;
  }));
  byId("trade-page").textContent = `${rows.length} trades, page ${table.page + 1} of ${pages}`;
  byId("trade-back").disabled = table.page === 0;
  byId("trade-next").disabled = table.page >= pages - 1;
  document.querySelectorAll("#trade-table th").forEach((th, i) =>
    th.setAttribute("aria-sort", i + 1 === table.sort ? (table.up ? "ascending" : "descending") : "none"));
}

function drawAll() {
  drawEquity(); drawCosts(); drawExcursions(); drawDistribution(); drawGroups("by_hour"); drawMargin();
  if (DATA.rolling.t.length) drawRolling();
  drawPrice(Object.keys(DATA.candles)[0]);
}

function wire() {
  document.querySelectorAll("[data-group]").forEach((b) => { b.onclick = () => drawGroups(b.dataset.group); });
  document.querySelectorAll("[data-price]").forEach((b) => { b.onclick = () => drawPrice(b.dataset.price); });
  document.querySelectorAll("#trade-table th").forEach((th, i) => { th.onclick = () => {
    table.up = table.sort === i + 1 ? !table.up : false; table.sort = i + 1; drawTrades();
  }; });
  byId("trade-filter").oninput = () => { table.page = 0; drawTrades(); };
  byId("trade-back").onclick = () => { table.page -= 1; drawTrades(); };
  byId("trade-next").onclick = () => { table.page += 1; drawTrades(); };
}

wire();
drawTrades();
startPage(drawAll);
