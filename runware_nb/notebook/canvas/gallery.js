// Thousands of images: only the tiles in sight exist, and only their pictures have travelled.
const TILE = 168;
const GAP = 8;
const LABEL = 44;
const AHEAD_ROWS = 4;
const CHUNK = 48;

const STYLE = `
.runware-nb-gallery{font:13px var(--jp-ui-font-family,sans-serif);color:var(--jp-ui-font-color1,#212121);
  background:var(--jp-layout-color1,#fff)}
.runware-nb-gallery :focus-visible{outline:2px solid var(--jp-brand-color1,#1565c0);outline-offset:1px}
.runware-nb-gallery .bar{display:flex;flex-wrap:wrap;gap:8px;align-items:end;padding:6px 0}
.runware-nb-gallery label{display:flex;flex-direction:column;gap:2px}
.runware-nb-gallery label.check{flex-direction:row;align-items:center;gap:4px}
.runware-nb-gallery input,.runware-nb-gallery select,.runware-nb-gallery button{font:inherit;color:inherit;
  background:var(--jp-layout-color2,#eee);border:1px solid var(--jp-border-color1,#757575);border-radius:3px;padding:3px 6px}
.runware-nb-gallery button[aria-pressed=true]{background:var(--jp-inverse-layout-color2,#424242);
  color:var(--jp-ui-inverse-font-color0,#fff)}
.runware-nb-gallery .scroller{height:560px;overflow-y:auto;position:relative;border:1px solid var(--jp-border-color2,#bbb)}
.runware-nb-gallery .tile{position:absolute;width:${TILE}px;box-sizing:border-box;background:var(--jp-layout-color2,#eee);
  border-radius:3px;overflow:hidden}
.runware-nb-gallery .tile.chosen{box-shadow:0 0 0 3px var(--jp-brand-color1,#1565c0)}
.runware-nb-gallery .picture{display:block;width:${TILE}px;height:${TILE}px;padding:0;border:0;background:none;cursor:pointer}
.runware-nb-gallery .picture img{width:100%;height:100%;object-fit:contain;display:block;
  background:repeating-conic-gradient(#d0d0d0 0 25%,#fff 0 50%) 0 0/16px 16px}
.runware-nb-gallery .words{display:block;height:100%;padding:6px;box-sizing:border-box;overflow:hidden;text-align:left}
.runware-nb-gallery .under{display:flex;justify-content:space-between;align-items:center;height:${LABEL}px;padding:0 4px}
.runware-nb-gallery .under button{border:0;background:none;padding:6px 3px;min-width:24px;min-height:24px}
.runware-nb-gallery .under button[aria-pressed=true]{background:var(--jp-inverse-layout-color2,#424242)}
.runware-nb-gallery .panel a{color:var(--jp-content-link-color,#0b5cad)}
.runware-nb-gallery .panel{border:1px solid var(--jp-border-color1,#757575);padding:8px;margin-top:6px}
.runware-nb-gallery .side{display:flex;flex-wrap:wrap;gap:10px}
.runware-nb-gallery .side figure{margin:0;flex:1 1 220px;max-width:48%}
.runware-nb-gallery .side img{max-width:100%;max-height:480px}
.runware-nb-gallery th{text-align:left;padding:2px 10px 2px 0;vertical-align:top;font-weight:normal}
.runware-nb-gallery td{padding:2px 10px 2px 0;vertical-align:top;max-width:34em;overflow-wrap:anywhere}
`;

// A video and audio are played where they are shown; everything else is an image.
const shown = (each, url) => {
  const player = ["video", "audio"].find((kind) => each.media_type.startsWith(`${kind}/`));
  if (player) return make(player, { src: url, controls: true, title: each.prompt });
  return make("img", { alt: each.prompt, src: url });
};
const source = (type, buffer) => URL.createObjectURL(new Blob([buffer], { type }));
const key = (item) => `${item.uuid}#${item.position}`;
const shortName = (item) => `${item.uuid.slice(0, 8)}#${item.position + 1}`;

class Gallery {
  constructor(model, el) {
    this.model = model;
    this.items = new Map(); // index -> what is known of it
    this.asked = new Set();
    this.tiles = new Map();
    this.chosen = new Map();
    this.large = [];
    this.generation = 0;
    this.total = 0;
    this.root = make("div", { class: "runware-nb-gallery" }, make("style", {}, STYLE));
    this.said = make("div", { role: "status", class: "said" });
    this.panel = make("div", { class: "panel", hidden: true });
    this.space = make("div", { style: "position:relative" });
    this.scroller = make(
      "div",
      { class: "scroller", tabindex: 0, role: "region", "aria-label": "Images; arrow keys scroll", onscroll: () => this.draw() },
      this.space,
    );
    this.root.append(this.bar(), this.said, this.scroller, this.panel);
    el.append(this.root);
    this.hear = (content, buffers) => this.received(content, buffers ?? []);
    model.on("msg:custom", this.hear);
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.scroller);
    this.ask();
  }

  bar() {
    const model = make("select", { onchange: () => this.ask() }, make("option", { value: "" }, "any model"));
    for (const name of this.model.get("models")) model.append(make("option", { value: name }, name));
    const stars = make("select", { onchange: () => this.ask() });
    ["any", "★", "★★", "★★★", "★★★★", "★★★★★"].forEach((words, n) =>
      stars.append(make("option", { value: n }, n ? `${words} or more (${n})` : words)),
    );
    const order = make("select", { onchange: () => this.ask() });
    for (const name of ["newest", "oldest", "rating", "cost"]) order.append(make("option", { value: name }, name));
    let waiting;
    const later = () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.ask(), 250);
    };
    const search = make("input", { type: "search", placeholder: "words of the prompt", oninput: later });
    const favourites = make("input", { type: "checkbox", onchange: () => this.ask() });
    const tag = make("input", { placeholder: "label", size: 10, oninput: later });
    this.filters = () => ({
      search: search.value.trim(), model: model.value, stars: Number(stars.value), sort: order.value,
      favourites: favourites.checked, tag: tag.value.trim(),
    });
    const start = this.model.get("start");
    search.value = start.search ?? "";
    tag.value = start.tag ?? "";
    if (start.model) {
      if (![...model.options].some((each) => each.value === start.model)) model.append(make("option", { value: start.model }, start.model));
      model.value = start.model;
    }
    stars.value = String(start.stars ?? 0);
    this.compareButton = make("button", { type: "button", disabled: true, onclick: () => this.compare() }, "Compare chosen");
    return make(
      "div",
      { class: "bar", role: "search", "aria-label": "Which images" },
      make("label", {}, "Search", search),
      make("label", {}, "Model", model),
      make("label", {}, "Label", tag),
      make("label", {}, "Stars", stars),
      make("label", {}, "Order", order),
      make("label", { class: "check" }, favourites, "Favourites only"),
      this.compareButton,
    );
  }

  ask() {
    this.generation += 1;
    this.forget();
    this.model.send({ kind: "open", generation: this.generation, filters: this.filters() });
  }

  forget() {
    for (const item of this.items.values()) if (item.src) URL.revokeObjectURL(item.src);
    for (const tile of this.tiles.values()) tile.remove();
    this.items.clear();
    this.asked.clear();
    this.tiles.clear();
  }

  received(content, buffers) {
    if (content.kind === "total" && content.generation === this.generation) {
      this.total = content.total;
      this.said.textContent = content.problem || `${this.total.toLocaleString("en")} images`;
      this.scroller.scrollTop = 0;
      this.draw();
    } else if (content.kind === "page" && content.generation === this.generation) {
      let focused = null;
      content.items.forEach((item) => {
        const index = item.index;
        const before = this.items.get(index);
        const buffer = item.buffer === null ? null : buffers[item.buffer];
        if (buffer) item.src = source(item.media_type, buffer);
        else if (before) item.src = before.src;
        this.items.set(index, item);
        const tile = this.tiles.get(index);
        if (tile && before && before.src === item.src) return; // what is seen stays as it is
        if (tile?.contains(document.activeElement)) focused = index;
        tile?.remove();
        this.tiles.delete(index);
      });
      this.draw();
      if (focused !== null) this.tiles.get(focused)?.querySelector(".picture")?.focus();
    } else if (content.kind === "large") {
      this.showLarge(content, buffers);
    } else if (content.kind === "said") {
      this.said.textContent = content.words;
    }
  }

  get columns() {
    return Math.max(1, Math.floor((this.scroller.clientWidth + GAP) / (TILE + GAP)));
  }

  draw() {
    const columns = this.columns;
    const height = TILE + LABEL + GAP;
    this.space.style.height = `${Math.ceil(this.total / columns) * height}px`;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - AHEAD_ROWS) * columns;
    const rows = Math.ceil(this.scroller.clientHeight / height) + 2 * AHEAD_ROWS;
    const last = Math.min(this.total, first + rows * columns);
    for (const [index, tile] of this.tiles) {
      if (index < first || index >= last) {
        tile.remove();
        this.tiles.delete(index);
      }
    }
    let before = null; // tiles stand in the page as they are seen, or Tab would jump about
    for (let index = first; index < last; index += 1) {
      let tile = this.tiles.get(index);
      if (!tile) {
        tile = this.items.has(index) ? this.tile(index) : make("div", { class: "tile waiting", style: `height:${TILE + LABEL}px` });
        this.tiles.set(index, tile);
        this.space.insertBefore(tile, before ? before.nextSibling : this.space.firstChild);
      }
      before = tile;
      tile.style.left = `${(index % columns) * (TILE + GAP)}px`;
      tile.style.top = `${Math.floor(index / columns) * height}px`;
    }
    for (let start = Math.floor(first / CHUNK) * CHUNK; start < last; start += CHUNK) {
      if (!this.asked.has(start)) {
        this.asked.add(start);
        this.model.send({ kind: "page", generation: this.generation, start, count: CHUNK });
      }
    }
    this.forgetFar(first, last);
  }

  forgetFar(first, last) {
    // what is far away is asked for again when it comes into sight: memory stays flat
    if (this.items.size < 40 * CHUNK) return;
    for (const [index, item] of this.items) {
      if (index < first - 10 * CHUNK || index > last + 10 * CHUNK) {
        if (item.src) URL.revokeObjectURL(item.src);
        this.items.delete(index);
        this.asked.delete(Math.floor(index / CHUNK) * CHUNK);
      }
    }
  }

  tile(index) {
    const item = this.items.get(index);
    const name = `${shortName(item)}: ${item.prompt}`;
    const inner = item.src
      ? make("img", { src: item.src, alt: item.prompt, style: item.is_flagged ? "filter:blur(24px)" : null })
      : make("span", { class: "words" }, item.prompt);
    const picture = make(
      "button",
      { class: "picture", type: "button", "aria-label": `Open ${name.slice(0, 300)}`, onclick: () => this.open(item), onkeydown: (event) => this.move(event, index) },
      inner,
    );
    const stars = make("button", { type: "button" });
    const drawStars = () => {
      stars.textContent = item.stars ? `${item.stars} ★` : "☆";
      stars.setAttribute("aria-label", `Stars of ${shortName(item)}: ${item.stars || "none"}; a click gives one more`);
    };
    stars.addEventListener("click", () => {
      item.stars = (item.stars + 1) % 6;
      drawStars();
      this.model.send({ kind: "rate", uuid: item.uuid, position: item.position, stars: item.stars });
    });
    drawStars();
    const heart = make("button", { type: "button", "aria-label": `Favourite: ${shortName(item)}`, "aria-pressed": String(item.is_favourite) }, item.is_favourite ? "♥" : "♡");
    heart.addEventListener("click", () => {
      item.is_favourite = !item.is_favourite;
      heart.textContent = item.is_favourite ? "♥" : "♡";
      heart.setAttribute("aria-pressed", String(item.is_favourite));
      this.model.send({ kind: "favourite", uuid: item.uuid, position: item.position, is_favourite: item.is_favourite });
    });
    const choose = make("button", { type: "button", "aria-label": `Choose ${shortName(item)} to compare`, "aria-pressed": String(this.chosen.has(key(item))) }, "vs");
    const tile = make("div", { class: "tile" }, picture, make("div", { class: "under" }, stars, heart, choose));
    tile.classList.toggle("chosen", this.chosen.has(key(item)));
    choose.addEventListener("click", () => {
      if (this.chosen.has(key(item))) this.chosen.delete(key(item));
      else if (this.chosen.size < 4) this.chosen.set(key(item), item);
      else this.said.textContent = "four can be compared at most";
      tile.classList.toggle("chosen", this.chosen.has(key(item)));
      choose.setAttribute("aria-pressed", String(this.chosen.has(key(item))));
      this.compareButton.disabled = this.chosen.size < 2;
      this.compareButton.textContent = this.chosen.size ? `Compare chosen (${this.chosen.size})` : "Compare chosen";
    });
    return tile;
  }

  move(event, index) {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const to = Math.min(Math.max(index + step, 0), this.total - 1);
    const height = TILE + LABEL + GAP;
    const top = Math.floor(to / this.columns) * height;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + height > this.scroller.scrollTop + this.scroller.clientHeight) this.scroller.scrollTop = top + height - this.scroller.clientHeight;
    this.draw();
    this.tiles.get(to)?.querySelector(".picture")?.focus();
  }

  open(item) {
    this.model.send({ kind: "large", places: [[item.uuid, item.position]] });
  }

  compare() {
    this.model.send({ kind: "large", places: [...this.chosen.values()].map((item) => [item.uuid, item.position]) });
  }

  showLarge(content, buffers) {
    this.forgetLarge();
    const close = make("button", { type: "button", onclick: () => this.close() }, "Close");
    const side = make("div", { class: "side" });
    const differing = new Set(content.items.flatMap((each) => each.facts.map(([name]) => name)).filter((name) => {
      const words = content.items.map((each) => each.facts.find((fact) => fact[0] === name)?.[1]);
      return words.some((each) => each !== words[0]);
    }));
    for (const each of content.items) {
      const url = each.buffer === null ? null : source(each.media_type, buffers[each.buffer]);
      if (url) this.large.push(url);
      const picture = url ? shown(each, url) : make("div", {}, each.words || "no picture");
      const open = (...inside) => make("a", { href: url, target: "_blank", rel: "noopener" }, ...inside);
      const rows = each.facts.map(([name, words, reuse]) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, name),
          make("td", {}, differing.has(name) ? make("strong", {}, words) : words),
          make("td", {}, ...(reuse ? [make("button", { type: "button", "aria-label": `Use ${name} of ${shortName(each)}`, onclick: () => this.model.send({ kind: "reuse", uuid: each.uuid, position: each.position, name: reuse }) }, "Use")] : [])),
        ),
      );
      const caption = make("figcaption", {}, `${shortName(each)} `, ...(url ? [open("full size")] : []));
      side.append(make("figure", {}, picture, caption, make("table", {}, make("tbody", {}, ...rows))));
    }
    this.panel.replaceChildren(close, side);
    this.panel.hidden = false;
    close.focus();
  }

  forgetLarge() {
    for (const url of this.large) URL.revokeObjectURL(url);
    this.large = [];
  }

  close() {
    this.forgetLarge();
    this.panel.hidden = true;
    this.panel.replaceChildren();
    this.scroller.focus();
  }

  end() {
    this.model.off("msg:custom", this.hear);
    this.sized.disconnect();
    this.forget();
    this.forgetLarge();
  }
}

function render({ model, el }) {
  const gallery = new Gallery(model, el);
  return () => gallery.end();
}

export default { render };
