"use strict";

const charts = JSON.parse(document.getElementById("charts").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const TALLEST = 400; // pixels of a legend under a chart, which scrolls beyond
const NARROW = 640; // pixels, below which the legend stands under the chart

async function unpack() {
  const packed = atob(document.getElementById("plotly").textContent);
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function themeColors() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["page", "ink", "soft", "rule"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function withColor(trace, theme) {
  if (!trace.line || trace.line.color !== "") return trace;
  const ink = trace.name === "floor" ? theme.ink : theme.soft;
  return { ...trace, line: { ...trace.line, color: ink }, marker: { ...trace.marker, color: ink } };
}

function axis(title, theme) {
  return {
    title: { text: title, standoff: 10 }, gridcolor: theme.rule, linecolor: theme.rule, zerolinecolor: theme.rule,
    automargin: true, fixedrange: true,
  };
}

function logTicks(traces) {
  const found = traces.filter((trace) => !trace.visible).flatMap((trace) => trace.y).filter((y) => y > 0);
  const [low, high] = [Math.min(...found), Math.max(...found)];
  const fine = [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9];
  const steps = high / low < 2.5 ? fine : high / low > 1000 ? [1] : high / low > 20 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const values = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.log10(high) + 1; power++) {
    values.push(...steps.map((step) => Number(`${step}e${power}`)));
  }
  return { tickmode: "array", tickvals: values, ticktext: values.map((y) => y.toLocaleString("en", { maximumSignificantDigits: 3 })) };
}

function layout(chart, view, scale, theme, width) {
  const below = under(chart, width);
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", uirevision: chart.id,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: theme.ink },
    margin: { l: 10, r: 10, t: 20, b: below ? 60 + legendHeight(chart, width) : 10 }, showlegend: chart.legend,
    hoverlabel: { bgcolor: theme.page, bordercolor: theme.rule, font: { color: theme.ink }, align: "left" },
    legend: below ? { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom", entrywidth: entry(chart), maxheight: TALLEST } : { x: 1.01, y: 1 },
    xaxis: axis(chart.x.title, theme), yaxis: axis(view.axis, theme),
  };
  if (chart.heat) {
    const nested = Array.isArray(view.traces[0].x[0]);
    Object.assign(base.xaxis, { type: nested ? "multicategory" : "category", showgrid: false });
    Object.assign(base.yaxis, { type: "category", autorange: "reversed", showgrid: false });
    return base;
  }
  const ticks = chart.x.ticks;
  Object.assign(base.xaxis, {
    type: "log", showgrid: false, ticks: "outside", tickvals: ticks, ticktext: ticks.map((n) => n.toLocaleString("en")),
  });
  Object.assign(base.yaxis, { type: scale, zeroline: Boolean(view.signed), exponentformat: "none" });
  if (scale === "log") Object.assign(base.yaxis, logTicks(view.traces));
  if (view.range) {
    const [low, high] = scale === "log" ? view.range.map(Math.log10) : view.range;
    base.yaxis.range = [low - (high - low) / 20, high + (high - low) / 20];
  }
  base.shapes = chart.marks.map((mark) => ({
    type: "line", x0: mark.at, x1: mark.at, y0: 0, y1: 1, yref: "paper", layer: "below", line: { color: theme.rule, width: 1 },
  }));
  base.annotations = chart.marks.map((mark) => ({
    x: Math.log10(mark.at), y: 1, yref: "paper", text: mark.text, showarrow: false, xanchor: "left", yanchor: "bottom",
    font: { size: 11, color: theme.soft },
  }));
  return base;
}

function under(chart, width) {
  return chart.legend && width < NARROW;
}

function listed(chart) {
  return chart.views[0].traces.filter((trace) => trace.showlegend !== false);
}

function entry(chart) {
  return 10 + 7 * Math.max(...listed(chart).map((trace) => trace.name.length));
}

function legendHeight(chart, width) {
  const rows = Math.ceil(listed(chart).length / Math.max(1, Math.floor(width / (entry(chart) + 45))));
  return Math.min(TALLEST, 21 * rows);
}

function draw(figure) {
  const chart = charts.find((one) => one.id === figure.dataset.chart);
  const plot = figure.querySelector(".plot");
  const scales = figure.querySelector(".scale");
  const chosen = (name) => figure.querySelector(`input[name^="${name}-"]:checked`);
  const view = chart.views[Number(chosen("view")?.value ?? 0)];
  if (scales && !chosen("scale")) scales.querySelector(`[value=${view.log ? "log" : "linear"}]`).checked = true;
  if (scales) scales.disabled = view.signed;
  const scale = view.signed ? "linear" : chosen("scale")?.value;
  const theme = themeColors();
  const traces = view.traces.map((trace) => withColor(trace, theme));
  if (under(chart, plot.clientWidth)) plot.style.height = `${360 + legendHeight(chart, plot.clientWidth)}px`;
  const config = { displaylogo: false, responsive: true, displayModeBar: false };
  return Plotly.react(plot, traces, layout(chart, view, scale, theme, plot.clientWidth), config);
}

async function start() {
  await unpack();
  const figures = [...document.querySelectorAll(".chart")];
  figures.forEach((figure) => figure.addEventListener("change", () => draw(figure)));
  dark.addEventListener("change", () => figures.forEach(draw));
  await Promise.all(figures.map(draw));
  document.documentElement.dataset.drawn = figures.length;
}

start().catch((error) => {
  for (const plot of document.querySelectorAll(".plot")) plot.textContent = "This browser cannot draw the chart; one of 2023 or later can.";
  console.error(error);
});
