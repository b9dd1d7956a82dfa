// What happens when the page opens, changes its width or its theme, or is printed.

const charts = { scatter, progress, asked, timeline, curves };
const places = [...document.querySelectorAll("[data-chart]")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const button = document.getElementById("theme");

const draw = () => places.forEach((place) => charts[place.dataset.chart](place));
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-label", `Change to the ${isDark() ? "light" : "dark"} theme`);
  draw();
}

button.addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
dark.addEventListener("change", () => setTheme(document.documentElement.dataset.theme));
document.querySelectorAll('input[name="axis"]').forEach((input) => {
  input.addEventListener("change", () => progress(document.querySelector('[data-chart="progress"]')));
});
document.getElementById("close").addEventListener("click", closeTrial);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !pane.hidden) closeTrial();
});
addEventListener("hashchange", showTrial);

let before;
addEventListener("beforeprint", () => {
  before = document.documentElement.dataset.theme;
  setTheme("light");
});
addEventListener("afterprint", () => setTheme(before));

let width = document.documentElement.clientWidth;
addEventListener("resize", () => {
  if (document.documentElement.clientWidth === width) return; // a phone's address bar came or went
  width = document.documentElement.clientWidth;
  draw();
});
setTheme(document.documentElement.dataset.theme);
showTrial();
