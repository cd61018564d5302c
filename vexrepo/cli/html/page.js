"use strict";
(() => {
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const form = document.getElementById("filter");
  const dots = new Map(all("figure svg a").map((dot) => [dot.getAttribute("href").slice(1), dot]));
  const cards = all("main .card");
  const commits = all(".log > li");

  if (form) {
    const find = document.getElementById("find");
    const count = document.getElementById("count");
    const items = commits.length ? commits : cards;
    const texts = new Map();
    const text = (item) => {
      if (!texts.has(item)) texts.set(item, item.textContent.toLowerCase());
      return texts.get(item);
    };
    const chosen = (name) => {
      const boxes = all(`input[name=${name}]`, form);
      return boxes.length ? new Set(boxes.filter((box) => box.checked).map((box) => box.value)) : null;
    };
    const update = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kinds = chosen("k"), spaces = chosen("n");
      let shown = 0;
      for (const item of items) {
        const fits = (!kinds || kinds.has(item.dataset.k)) && (!spaces || spaces.has(item.dataset.n))
          && words.every((word) => text(item).includes(word));
        shown += fits;
        item.classList.toggle(commits.length ? "dim" : "hide", !fits);
        dots.get(item.id)?.classList.toggle("off", !fits);
      }
      for (const group of all("section.group")) {
        group.classList.toggle("hide", !group.querySelector(".card:not(.hide)") && !group.querySelector(".left"));
      }
      count.textContent = shown === items.length ? `all ${shown}` : `${shown} of ${items.length}`;
    };
    form.hidden = false;
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && document.activeElement !== find) { find.focus(); event.preventDefault(); }
      if (event.key === "Escape" && document.activeElement === find) { find.value = ""; update(); }
    });
    document.addEventListener("click", (event) => {
      for (const open of all("details[open]", form)) if (!open.contains(event.target)) open.open = false;
    });
    update();
  }

  for (const card of cards) {
    const dot = dots.get(card.id);
    if (!dot) continue;
    card.addEventListener("mouseenter", () => dot.classList.add("lit"));
    card.addEventListener("mouseleave", () => dot.classList.remove("lit"));
  }

  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const commit = target?.closest("details");
    if (commit && !commit.open) { commit.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => { if (commits.length <= 50) for (const each of all(".log details")) each.open = true; });
})();
