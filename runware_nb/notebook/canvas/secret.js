// A password field. What is typed goes to the kernel as a message and is deleted here at once: it never becomes part of
// the state of the widget, which front ends save in notebooks.
const INPUT =
  "flex:1 1 auto;min-width:0;height:28px;box-sizing:border-box;padding:0 8px;border:1px solid " +
  "var(--jp-border-color1,#757575);border-radius:0;background:var(--jp-layout-color1,#ffffff);" +
  "color:var(--jp-ui-font-color1,#212121);font-size:13px";

function render({ model, el }) {
  const input = make("input", {
    type: "password",
    class: "runware-nb-secret jupyter-widgets",
    autocomplete: "new-password",
    "aria-label": model.get("label"),
    style: INPUT,
  });
  const hand = () => {
    if (!input.value) return;
    model.send({ kind: "secret", text: input.value });
    input.value = "";
  };
  const describe = () => {
    input.placeholder = model.get("note");
  };
  input.addEventListener("change", hand);
  input.addEventListener("keydown", (event) => {
    event.stopPropagation(); // or JupyterLab takes letters for shortcuts
    if (event.key === "Enter") hand();
  });
  model.on("change:note", describe);
  describe();
  // As wide as the fields of ipywidgets, whose descriptions take 12em.
  const label = make("label", { style: "display:flex;align-items:center;font-size:13px;margin:2px" });
  const name = make("span", { style: "flex:0 0 12em;text-align:right;margin-right:8px" }, model.get("label"));
  label.append(name, input);
  el.append(label);
}

export default { render };
