// A password field. What is typed goes to the kernel as a message and is deleted here at once: it never becomes part of
// the state of the widget, which front ends save in notebooks.
function render({ model, el }) {
  const input = make("input", {
    type: "password",
    class: "runware-nb-secret jupyter-widgets",
    autocomplete: "new-password",
    "aria-label": model.get("label"),
    style: "width:100%;box-sizing:border-box",
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
  const label = make("label", { style: "display:flex;align-items:center;gap:4px;width:100%" });
  const name = make("span", { style: "flex:0 0 12em;text-align:right;padding-right:4px" }, model.get("label"));
  label.append(name, input);
  el.append(label);
}

export default { render };
