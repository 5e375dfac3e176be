// A mask painted over an image: white is painted anew. It has the size of the image, and travels as PNG.
const STYLE = `
.runware-nb-brush{font:13px var(--jp-ui-font-family,sans-serif);color:var(--jp-ui-font-color1,#212121)}
.runware-nb-brush :focus-visible{outline:2px solid var(--jp-brand-color1,#1565c0);outline-offset:1px}
.runware-nb-brush .bar{display:flex;flex-wrap:wrap;gap:6px;align-items:center;padding:6px 0}
.runware-nb-brush button,.runware-nb-brush input{font:inherit;color:inherit;background:var(--jp-layout-color2,#eee);
  border:1px solid var(--jp-border-color1,#757575);border-radius:3px;padding:3px 8px;min-height:26px}
.runware-nb-brush button[aria-pressed=true]{background:var(--jp-inverse-layout-color2,#424242);
  color:var(--jp-ui-inverse-font-color0,#fff)}
.runware-nb-brush .view{overflow:auto;max-width:100%;max-height:640px;border:1px solid var(--jp-border-color2,#bbb)}
.runware-nb-brush .stack{position:relative;line-height:0;transform-origin:0 0}
.runware-nb-brush canvas.mask{position:absolute;left:0;top:0;opacity:.55;touch-action:none;cursor:crosshair}
`;
const MOST_UNDO = 20;
const MOST_UNDO_BYTES = 256 * 1024 * 1024;

class Brush {
  constructor(model, el) {
    this.model = model;
    this.width = model.get("width");
    this.height = model.get("height");
    this.tool = "brush";
    this.size = Math.max(8, Math.round(Math.min(this.width, this.height) / 12));
    this.zoom = Math.min(1, 640 / this.width);
    this.history = [];
    this.cursor = [this.width / 2, this.height / 2];
    this.below = make("img", { alt: model.get("alt"), width: this.width, height: this.height, draggable: "false" });
    const image = model.get("image");
    this.url = URL.createObjectURL(new Blob([image], { type: model.get("media_type") }));
    this.below.src = this.url;
    this.canvas = make("canvas", {
      class: "mask", width: this.width, height: this.height, tabindex: 0, role: "application",
      "aria-label": "Mask: arrow keys move the brush, space paints, plus and minus change its size, Z takes back",
    });
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.stack = make("div", { class: "stack" }, this.below, this.canvas);
    this.said = make("div", { role: "status" });
    this.root = make("div", { class: "runware-nb-brush" }, make("style", {}, STYLE), this.bar(), make("div", { class: "view", tabindex: 0, role: "region", "aria-label": "Image to mask" }, this.stack), this.said);
    this.listen();
    this.scale();
    el.append(this.root);
    this.hear = (content) => {
      if (content.kind === "said") this.said.textContent = content.words;
    };
    model.on("msg:custom", this.hear);
  }

  bar() {
    const tools = { brush: "Brush", eraser: "Eraser", rectangle: "Rectangle" };
    this.buttons = Object.entries(tools).map(([tool, words]) =>
      make("button", { type: "button", "aria-pressed": String(tool === this.tool), onclick: () => this.choose(tool), "data-tool": tool }, words),
    );
    const size = make("input", { type: "number", min: 1, max: 1024, value: this.size, style: "width:5em" });
    size.addEventListener("change", () => {
      this.size = Math.min(1024, Math.max(1, Number(size.value) || 1));
      size.value = this.size;
    });
    this.sizeField = size;
    const button = (words, work) => make("button", { type: "button", onclick: work }, words);
    return make(
      "div",
      { class: "bar" },
      ...this.buttons,
      make("label", {}, "Size in px ", size),
      button("Invert", () => this.change(() => this.invert())),
      button("Undo", () => this.undo()),
      button("Clear", () => this.change(() => this.pen.clearRect(0, 0, this.width, this.height))),
      button("Zoom in", () => this.scale(1.25)),
      button("Zoom out", () => this.scale(0.8)),
      button("Use this mask", () => this.save()),
    );
  }

  choose(tool) {
    this.tool = tool;
    for (const each of this.buttons) each.setAttribute("aria-pressed", String(each.dataset.tool === tool));
  }

  scale(by = 1) {
    this.zoom = Math.min(8, Math.max(0.1, this.zoom * by));
    const [width, height] = [this.width * this.zoom, this.height * this.zoom];
    for (const each of [this.below, this.canvas]) Object.assign(each.style, { width: `${width}px`, height: `${height}px` });
    Object.assign(this.stack.style, { width: `${width}px`, height: `${height}px` });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  listen() {
    let last = null;
    let start = null;
    let before = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.canvas.focus();
      this.canvas.setPointerCapture(event.pointerId);
      this.remember();
      last = start = this.at(event);
      before = this.tool === "rectangle" ? this.pen.getImageData(0, 0, this.width, this.height) : null;
      if (!before) this.line(last, last);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const now = this.at(event);
      if (before) {
        this.pen.putImageData(before, 0, 0);
        this.box(start, now);
      } else this.line(last, now);
      last = now;
    });
    const end = () => {
      last = null;
    };
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
    this.canvas.addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = Math.max(1, this.size / 2);
    if (steps[event.key]) {
      const from = [...this.cursor];
      this.cursor = [
        Math.min(this.width, Math.max(0, this.cursor[0] + steps[event.key][0] * step)),
        Math.min(this.height, Math.max(0, this.cursor[1] + steps[event.key][1] * step)),
      ];
      if (event.shiftKey) this.change(() => this.line(from, this.cursor));
      this.said.textContent = `brush at ${Math.round(this.cursor[0])}, ${Math.round(this.cursor[1])}`;
    } else if (event.key === " ") this.change(() => this.line(this.cursor, this.cursor));
    else if (event.key === "+" || event.key === "-") {
      this.size = Math.min(1024, Math.max(1, this.size + (event.key === "+" ? 4 : -4)));
      this.sizeField.value = this.size;
    } else if (event.key.toLowerCase() === "z") this.undo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  line(from, to) {
    this.pen.globalCompositeOperation = this.tool === "eraser" ? "destination-out" : "source-over";
    this.pen.strokeStyle = "#ffffff";
    this.pen.lineCap = "round";
    this.pen.lineWidth = this.size;
    this.pen.beginPath();
    this.pen.moveTo(...from);
    this.pen.lineTo(to[0] + 0.01, to[1]);
    this.pen.stroke();
    this.pen.globalCompositeOperation = "source-over";
  }

  box(from, to) {
    this.pen.fillStyle = "#ffffff";
    this.pen.fillRect(Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
  }

  invert() {
    const data = this.pen.getImageData(0, 0, this.width, this.height);
    for (let n = 0; n < data.data.length; n += 4) {
      const on = data.data[n + 3] > 127;
      data.data[n] = data.data[n + 1] = data.data[n + 2] = 255;
      data.data[n + 3] = on ? 0 : 255;
    }
    this.pen.putImageData(data, 0, 0);
  }

  change(work) {
    this.remember();
    work();
  }

  remember() {
    this.history.push(this.pen.getImageData(0, 0, this.width, this.height));
    const most = Math.min(MOST_UNDO, Math.max(1, Math.floor(MOST_UNDO_BYTES / (this.width * this.height * 4))));
    if (this.history.length > most) this.history.shift();
  }

  undo() {
    const before = this.history.pop();
    if (before) this.pen.putImageData(before, 0, 0);
    this.said.textContent = before ? "taken back" : "nothing to take back";
  }

  save() {
    // hard black and white: what is half painted counts by half of its strength
    const flat = make("canvas", { width: this.width, height: this.height });
    const pen = flat.getContext("2d");
    const data = this.pen.getImageData(0, 0, this.width, this.height);
    for (let n = 0; n < data.data.length; n += 4) {
      const value = data.data[n + 3] > 127 ? 255 : 0;
      data.data[n] = data.data[n + 1] = data.data[n + 2] = value;
      data.data[n + 3] = 255;
    }
    pen.putImageData(data, 0, 0);
    flat.toBlob(async (blob) => {
      this.model.send({ kind: "mask" }, undefined, [await blob.arrayBuffer()]);
    }, "image/png");
  }

  end() {
    this.model.off("msg:custom", this.hear);
    URL.revokeObjectURL(this.url);
  }
}

function render({ model, el }) {
  const brush = new Brush(model, el);
  return () => brush.end();
}

export default { render };
