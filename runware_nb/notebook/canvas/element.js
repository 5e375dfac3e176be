// Making elements; put before each widget's own script, since a widget is one module.
const FOCUSABLE = ["button", "input", "select", "canvas", "a"];

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  // Jupyter's own shortcuts would take the arrow keys, and Z would undo a cell: it looks for this on what has the focus
  if (FOCUSABLE.includes(tag) || "tabindex" in attributes) node.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};

