{
  const PAGE = 12;  /* posters that are shown at first, and that a click adds */
  const find = (name) => document.getElementById(`gallery-${name}`);
  const list = find("posters"), more = find("more");
  const movies = [...list.children].map((card) => ({
    card,
    title: card.querySelector(".title").textContent,
    genres: [...card.querySelectorAll("[data-genre]")].map((row) => row.dataset),
  }));
  let limit = PAGE;

  function update() {
    const [genre, kind, order] = ["genre", "kind", "order"].map((name) => find(name).value);
    const match = ({ genres }) => genres.filter((row) => !genre || row.genre === genre);
    const gain = (movie) => Number((genre ? match(movie)[0] : movie.card.dataset).gain);
    const isShown = (movie) => match(movie).some((row) =>
      kind === "drawn" ? "drawn" in movie.card.dataset : !kind || row.kind === kind);
    const compare = order === "title" ? (a, b) => a.title.localeCompare(b.title)
                                      : (a, b) => gain(b) - gain(a);
    let found = movies.filter(isShown).sort(compare);
    if (order === "worst") found.reverse();
    if (order === "turn") found = found.map((_, i) => found.at(i % 2 ? -(i + 1) / 2 : i / 2));
    list.replaceChildren(...found.slice(0, limit).map(({ card }) => card));
    find("count").textContent = `Shown: ${Math.min(limit, found.length)} of ${found.length}`;
    more.hidden = found.length <= limit;
  }

  find("controls").addEventListener("change", () => { limit = PAGE; update(); });
  more.addEventListener("click", () => {
    const next = limit;
    limit += PAGE;
    update();
    list.children[next].tabIndex = -1;
    list.children[next].focus();
  });
  find("controls").hidden = false;
  update();
}
