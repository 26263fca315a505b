// SPDX-License-Identifier: BSD-3-Clause
// What of the page moves besides the curves: the tool bar, the search, the order of predictions.
document.documentElement.classList.add("js");

const charts = data.charts.map((chart) => new Chart(document.getElementById(chart.id), chart.curves));
const drawAll = () => charts.forEach((chart) => chart.draw());

for (const axis of document.querySelectorAll("input[name=axis]")) {
  axis.addEventListener("change", () => { view.axis = axis.value; drawAll(); });
}

document.getElementById("log")?.addEventListener("change", (event) => { view.log = event.target.checked; drawAll(); });

document.getElementById("smoothing")?.addEventListener("input", (event) => {
  view.smoothing = Number(event.target.value);
  event.target.parentElement.querySelector("output").textContent = event.target.value;
  drawAll();
});

document.getElementById("config-search")?.addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  let count = 0;
  for (const row of document.querySelectorAll("#config-table tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    count += row.hidden ? 0 : 1;
  }
  document.getElementById("config-count").textContent = event.target.value.trim() ? `${count} shown` : "";
});

for (const order of document.querySelectorAll(".order select")) {
  const body = order.closest(".predictions").querySelector("tbody");
  const original = [...body.rows];
  order.addEventListener("change", () => {
    const rows = [...original];
    if (order.value !== "0") rows.sort((a, b) => (a.dataset.p - b.dataset.p) * Number(order.value));
    body.append(...rows);
  });
}
