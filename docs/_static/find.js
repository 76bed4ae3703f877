// The search of `tokenry find`, over the index that stands in the page. Nothing is fetched, and
// no text of the index is ever read as HTML.
(() => {
  "use strict";

  const WORD = /[\p{L}\p{N}]+/gu;

  function stem(word, index) {
    for (const [ending, rest] of index.endings) {
      if (word.endsWith(ending) && [...word].length - ending.length >= 3) {
        word = word.slice(0, -ending.length) + rest;
        break;
      }
    }
    const letters = [...word];
    return letters.length > 3 && letters.at(-1) === letters.at(-2)
      ? letters.slice(0, -1).join("")
      : word;
  }

  function terms(text, index) {
    const words = text.normalize("NFKC").toLowerCase().match(WORD) || [];
    return words
      .filter((word) => !index.stop.includes(word))
      .map((word) => [word, stem(word, index)]);
  }

  function holders(term, index) {
    const flat = Object.hasOwn(index.terms, term) ? index.terms[term] : [];
    const found = new Map();
    for (let i = 0; i < flat.length; i += 2) found.set(flat[i], flat[i + 1]);
    return found;
  }

  function impacts(term, index) {
    let near = index.alike.filter((group) => group.includes(term)).flat();
    near = near.filter((other) => other !== term);
    if (!near.length && !Object.hasOwn(index.terms, term) && [...term].length > 2) {
      near = Object.keys(index.terms).filter((other) => other.startsWith(term));
    }
    const found = holders(term, index);
    for (const other of near) {
      for (const [card, impact] of holders(other, index)) {
        found.set(card, Math.max(Math.floor((impact * 3) / 5), found.get(card) || 0));
      }
    }
    return found;
  }

  /** Cards that hold a word of the query, the best first: [number, score] pairs. */
  function search(query, index) {
    const asked = terms(query, index);
    const scores = holders("=" + asked.map(([, term]) => term).join("-"), index);
    for (const term of new Set(asked.map(([, term]) => term))) {
      for (const [card, impact] of impacts(term, index)) {
        scores.set(card, (scores.get(card) || 0) + impact);
      }
    }
    return [...scores].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  }

  globalThis.tokenryFind = { search, terms };
  if (typeof document === "undefined") return;

  const SHOWN = 8;

  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  function link(slug, text) {
    const made = element("a", "", text);
    made.href = `${encodeURIComponent(slug)}.html`;
    return made;
  }

  /** The text with the words of the query marked. */
  function marked(text, wanted, index) {
    const parts = [];
    let last = 0;
    for (const match of text.matchAll(WORD)) {
      const [found] = terms(match[0], index);
      if (!found || !wanted.has(found[1])) continue;
      parts.push(text.slice(last, match.index), element("mark", "", match[0]));
      last = match.index + match[0].length;
    }
    return [...parts, text.slice(last)];
  }

  function row(card, wanted, index) {
    const near = card.near.flatMap((slug, i) => [i ? ", " : "similar: ", link(slug, slug)]);
    return element(
      "li",
      "",
      element("span", "find-name", link(card.slug, card.name)),
      element("span", "find-family", card.family),
      element("p", "", ...marked(card.summary, wanted, index)),
      element("p", "find-near", ...near),
    );
  }

  function show(query, index, list, status) {
    const wanted = new Set(terms(query, index).map(([, term]) => term));
    const found = search(query, index);
    list.replaceChildren(
      ...found.slice(0, SHOWN).map(([card]) => row(index.cards[card], wanted, index)),
    );
    status.textContent = !query.trim()
      ? ""
      : found.length
        ? `${found.length} of ${index.cards.length} methods, best first` +
          (found.length > SHOWN ? `; ${SHOWN} are shown` : "")
        : "No description holds any of these words. They are in English; try other words.";
  }

  document.addEventListener("DOMContentLoaded", () => {
    const box = document.getElementById("find");
    const index = JSON.parse(document.getElementById("find-index").textContent);
    const [input] = box.getElementsByTagName("input");
    const [status] = box.getElementsByClassName("find-status");
    const [list] = box.getElementsByTagName("ol");
    const update = () => show(input.value, index, list, status);
    const fromAddress = () => {
      const asked = new URLSearchParams(location.hash.slice(1)).get("find");
      if (asked !== null) input.value = asked;
      update();
    };
    box.hidden = false;
    input.addEventListener("input", update);
    input.addEventListener("change", () => {
      history.replaceState(null, "", `#${new URLSearchParams({ find: input.value })}`);
    });
    addEventListener("hashchange", fromAddress);
    fromAddress();
  });
})();
