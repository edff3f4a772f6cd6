// Two equity curves over each other.
startPage(() => plot("chart-equity", DATA.curves.map((c, i) => ({
  x: times(c.t), y: c.pct, name: c.name, mode: "lines", line: { color: css(i ? "--second" : "--accent"), width: 1.5 },
  hovertemplate: "%{y:.2f} %<extra>%{fullData.name}</extra>",
})), layout(400, { showlegend: true, legend: { orientation: "h", x: 0, y: 1.08, bgcolor: "rgba(0,0,0,0)" },
  margin: { t: 26 }, xaxis: { type: "date" }, yaxis: { ticksuffix: " %", zeroline: true, zerolinecolor: css("--soft") } })));
