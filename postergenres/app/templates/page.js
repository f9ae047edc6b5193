// Gradio runs this for the element of answer.html. Posters are sent to the server as the bytes of
// their files, a few at a time; each answer is a card.
const AT_ONCE = 3; // as many as the server has in memory
const [headline, drawn, waiting, cards] = element.querySelectorAll("#headline, #drawn, #waiting, #cards");
let newest = new AbortController(); // stops what the page shows when something else is dropped
let model = {{ model | tojson }};

function makeCard(name, text) {
  const card = document.createElement("li");
  for (const line of [name, text]) card.appendChild(document.createElement("p")).textContent = line;
  card.firstChild.className = "path";
  return card;
}

async function answerFile(file, signal) {
  const refuse = (reason) => ({ card: makeCard(file.name, `Could not be read: ${reason}`), is_read: false });
  if (file.size > {{ most_bytes }}) return refuse("too large: over {{ "{:,}".format(most_bytes) }} bytes");
  let body;
  try {
    body = await file.arrayBuffer();
  } catch {
    return refuse("the browser cannot read it"); // a folder, or a deleted file
  }
  const query = new URLSearchParams({ model, name: file.name });
  const response = await fetch(`answer?${query}`, { method: "POST", body, signal });
  if (!response.ok) throw new Error(await response.text());
  const answer = await response.json();
  const template = document.createElement("template");
  template.innerHTML = answer.card;
  return { ...answer, card: template.content.querySelector("li") };
}

async function show(files, areDrawn = false) {
  if (!files.length) return;
  newest.abort();
  newest = new AbortController();
  const { signal } = newest;
  const posters = files.slice(0, {{ most_posters }});
  const slots = posters.map((file) => makeCard(file.name, "…"));
  const start = performance.now();
  let started = 0, done = 0;

  async function answerInTurn() {
    while (started < posters.length) {
      const i = started++;
      const answer = await answerFile(posters[i], signal);
      signal.throwIfAborted();
      slots[i].replaceWith(answer.card);
      waiting.hidden = !answer.is_waiting;
      done += 1;
      headline.textContent = `${done} of ${posters.length} …`;
    }
  }

  cards.replaceChildren(...slots);
  headline.textContent = "…";
  drawn.hidden = !areDrawn;
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, answerInTurn));
    headline.textContent = summarize(files.length, posters.length, model, performance.now() - start);
  } catch (error) {
    if (signal.aborted) return;
    newest.abort();
    headline.textContent = error.message;
  }
}

function summarize(asked, count, model, milliseconds) {
  const posters = `${count} poster${count === 1 ? "" : "s"}`;
  const among = asked > count ? ` of ${asked}, which are too many at a time` : "";
  return `${posters}${among}, predicted by ${model} in ${(milliseconds / 1000).toFixed(2)} s.`;
}

async function showExamples() {
  const examples = await (await fetch("examples")).json();
  const files = examples.map(async ({ name, url }) => new File([await (await fetch(url)).blob()], name));
  show(await Promise.all(files), true);
}

document.addEventListener("change", ({ target }) => {
  if (target.id !== "drop") return;
  show([...target.files]);
  target.value = "";
});
document.addEventListener("paste", (event) => show([...event.clipboardData.files]));
document.addEventListener("draw", showExamples);
document.addEventListener("choose", ({ detail }) => {
  model = detail;
});
