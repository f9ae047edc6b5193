// Gradio runs this for the element of answer.html. Posters are sent to the server as the bytes of
// their files, a few at a time; each answer is a card.
const AT_ONCE = 3; // as many as the server has in memory
const [headline, scored, legend, waiting, cards] = ["headline", "scored", "legend", "waiting", "cards"].map((id) =>
  element.querySelector(`#${id}`),
);
let newest = new AbortController(); // stops what the page shows when something else is dropped
let shown = []; // the files of the last show()
let model = {{ model | tojson }};

function makeCard(name, text) {
  const card = document.createElement("li");
  for (const line of [name, text]) card.appendChild(document.createElement("p")).textContent = line;
  card.firstChild.className = "path";
  return card;
}

function addTrueGenres(card, genres) {
  const line = document.createElement("p");
  line.textContent = `True genres: ${genres}`;
  card.querySelector(".path").after(line);
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
  const card = template.content.querySelector("li");
  if (file.genres) addTrueGenres(card, file.genres);
  return { ...answer, card };
}

async function show(files) {
  if (!files.length) return;
  shown = files;
  newest.abort();
  newest = new AbortController();
  const { signal } = newest;
  const posters = files.slice(0, {{ most_posters }});
  const slots = posters.map((file) => makeCard(file.name, "…"));
  const start = performance.now();
  let started = 0, done = 0, read = 0;

  async function answerInTurn() {
    while (started < posters.length) {
      const i = started++;
      const answer = await answerFile(posters[i], signal);
      signal.throwIfAborted();
      slots[i].replaceWith(answer.card);
      if (answer.is_read) {
        waiting.hidden = !answer.is_waiting;
        scored.textContent = `Predicted by ${answer.model}.`;
      }
      done += 1;
      read += answer.is_read;
      legend.hidden = !read;
      headline.textContent = `${done} of ${posters.length} …`;
      const isBelow = headline.getBoundingClientRect().top > innerHeight - 100; // on a narrow screen
      if (done === 1 && isBelow) headline.scrollIntoView();
    }
  }

  cards.replaceChildren(...slots);
  headline.textContent = "…";
  scored.textContent = "";
  legend.hidden = waiting.hidden = true;
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, answerInTurn));
    const seconds = ((performance.now() - start) / 1000).toFixed(2);
    const among = files.length > done ? ` of ${files.length}, which are too many at a time` : "";
    headline.textContent = summarize(done, read, among, `predicted in ${seconds} s`);
  } catch (error) {
    if (signal.aborted) return;
    newest.abort();
    const isUnreachable = error instanceof TypeError; // fetch() has no class of its own for it
    headline.textContent = isUnreachable ? "The server of this page does not answer." : error.message;
  }
}

function summarize(count, read, among, predicted) {
  const posters = `${count} poster${count === 1 ? "" : "s"}${among}`;
  if (read === count) return `${posters}, ${predicted}.`;
  if (read) return `${posters}: ${read} ${predicted}, ${count - read} could not be read.`;
  return `${posters}, which could not be read.`;
}

async function openExample(button) {
  const blob = await (await fetch(button.querySelector("img").src)).blob();
  return Object.assign(new File([blob], button.textContent), { genres: button.dataset.genres });
}

document.addEventListener("change", ({ target }) => {
  if (target.id !== "drop") return;
  show([...target.files]);
  target.value = "";
});
document.addEventListener("paste", (event) => show([...event.clipboardData.files]));
document.addEventListener("click", async ({ target }) => {
  const button = target.closest(".examples button, #all-examples");
  if (!button) return;
  const chosen = button.id ? [...document.querySelectorAll(".examples button")] : [button];
  show(await Promise.all(chosen.map(openExample)));
});
document.addEventListener("choose", ({ detail }) => {
  model = detail;
  show(shown);
});
