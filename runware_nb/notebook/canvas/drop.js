// A place to drop or paste an image on; its bytes travel to the kernel.
const MOST_BYTES = 40 * 1024 * 1024;

function render({ model, el }) {
  const zone = document.createElement("div");
  zone.className = "runware-nb-drop";
  zone.tabIndex = 0;
  zone.setAttribute("data-lm-suppress-shortcuts", "true"); // or Ctrl+V pastes a cell
  zone.setAttribute("role", "group");
  zone.setAttribute("aria-label", model.get("label"));
  zone.style.cssText =
    "border:1px dashed var(--jp-border-color1,#757575);border-radius:3px;padding:4px 10px;margin:2px;" +
    "color:var(--jp-ui-font-color1,#212121);font-size:13px";
  zone.textContent = model.get("label");

  const say = (words) => {
    zone.textContent = words;
  };
  const take = async (files) => {
    for (const file of files) {
      if (!file.type.startsWith("image/")) {
        say(`${file.name || "that"} is no image`);
      } else if (file.size > MOST_BYTES) {
        say(`${file.name} is larger than 40 MB`);
      } else {
        model.send({ kind: "file" }, undefined, [await file.arrayBuffer()]);
        say(`${file.name || "pasted image"}: taken`);
      }
    }
  };
  const lit = (on) => {
    zone.style.borderStyle = on ? "solid" : "dashed";
  };
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    event.stopPropagation();
    lit(true);
  });
  zone.addEventListener("dragleave", () => lit(false));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation(); // or JupyterLab uploads the file into its folder
    lit(false);
    take(event.dataTransfer.files);
  });
  zone.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) {
      event.preventDefault();
      event.stopPropagation();
      take(event.clipboardData.files);
    }
  });
  el.appendChild(zone);
}

export default { render };
