// Gradio runs this for the element of drop.html. The files are sent as text, not uploaded, so that
// the server never writes them to a disk.
const input = element.querySelector("input");

function readFile(file) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => resolve(null);
    reader.readAsDataURL(file);
  });
}

async function describeFile(file) {
  const data = file.size > {{ most_bytes }} ? null : await readFile(file);
  return { name: file.name, size: file.size, data };
}

async function send(files) {
  let bytes = 0;
  const isRead = (file) => file.size > {{ most_bytes }} || (bytes += file.size) <= {{ most_together }};
  const read = files.slice(0, {{ most_posters }}).filter(isRead);
  const shown = await Promise.all(read.map(describeFile));
  if (files.length) trigger("upload", { files: shown, count: files.length });
}

input.addEventListener("change", () => {
  send([...input.files]);
  input.value = "";
});
document.addEventListener("paste", (event) => send([...event.clipboardData.files]));
