// The switches that change all maps at once.
function showBound() {
  const { kind } = view, slider = control("bound");
  for (const [key, value] of Object.entries({ min: kind.step, max: kind.most, step: kind.step })) slider[key] = value;
  slider.value = boundOf(kind);
  slider.disabled = !kind.signed;
  control("bound-value").textContent = kind.signed ? `\u00b1${withUnit(boundOf(kind), kind)}` : "fixed";
  for (const button of document.querySelectorAll("button.bound")) {
    button.disabled = !kind.signed;
    button.hidden = button.dataset.bound === "bound" && kind !== KINDS[0];
  }
}

function setBound(value) {
  view.bounds[view.kind.name] = Number(value);
  showBound();
  draw();
}

function showDifference() {
  const [first, second] = ["first", "second"].map((name) => control(name)?.value);
  for (const grid of differences) grid.article.hidden = first === "" || first === second;
}

control("kind").addEventListener("input", () => {
  view.kind = KINDS.find((kind) => kind.name === control("kind").value);
  showBound();
  paintScale();
  draw();
});
for (const name of ["window", "under", "classes", "outline"]) control(name).addEventListener("input", draw);
for (const name of ["first", "second"]) {
  control(name)?.addEventListener("input", () => {
    showDifference();
    draw();
  });
}
control("bound").addEventListener("input", () => setBound(control("bound").value));
for (const button of document.querySelectorAll("button.bound")) {
  button.addEventListener("click", () => setBound(view.kind[button.dataset.bound]));
}
addEventListener("scroll", () => requestAnimationFrame(drawNear), { passive: true });
addEventListener("resize", drawNear);
addEventListener("beforeprint", () => drawCards([...stale]));
showBound();
paintScale();
showDifference();
draw();
