// A place to drop or paste an image on; its bytes travel to the kernel.
const MOST_BYTES = 40 * 1024 * 1024;
const STYLE =
  "border:1px dashed var(--jp-border-color1,#757575);border-radius:3px;padding:4px 10px;margin:2px;" +
  "color:var(--jp-ui-font-color1,#212121);font-size:13px";

function render({ model, el }) {
  const label = model.get("label");
  const lit = (on) => {
    zone.style.borderStyle = on ? "solid" : "dashed";
  };
  const keep = (event) => {
    event.preventDefault();
    event.stopPropagation(); // or JupyterLab uploads the file into its folder
  };
  const take = async (files) => {
    for (const file of files) {
      const name = file.name || "pasted image";
      if (!file.type.startsWith("image/")) zone.textContent = `${name} is no image`;
      else if (file.size > MOST_BYTES) zone.textContent = `${name} is larger than 40 MB`;
      else {
        model.send({ kind: "file" }, undefined, [await file.arrayBuffer()]);
        zone.textContent = `${name}: taken`;
      }
    }
  };
  const zone = make(
    "div",
    {
      class: "runware-nb-drop", tabindex: 0, role: "group", "aria-label": label, style: STYLE,
      ondragover: (event) => {
        keep(event);
        lit(true);
      },
      ondragleave: () => lit(false),
      ondrop: (event) => {
        keep(event);
        lit(false);
        take(event.dataTransfer.files);
      },
      onpaste: (event) => {
        if (!event.clipboardData.files.length) return;
        keep(event);
        take(event.clipboardData.files);
      },
    },
    label,
  );
  el.append(zone);
}

export default { render };
