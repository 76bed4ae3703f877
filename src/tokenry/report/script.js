"use strict";

/** A cell as [unit, text]: a number without commas and in seconds, anything else as it stands. */
function plain(text) {
  const said = text.replace(/\s+/gu, " ").trim();
  const found = /^([+\u2212-]?)(\d[\d.,]*(?: \d{3})*(?:\.\d+)?) ?(ms|s|%|\u00d7|MB)?$/u.exec(said);
  if (!found) return ["", said];
  const number = (found[1] && found[1] !== "+" ? "-" : "") + found[2].replace(/[, ]/g, "");
  if (found[3] === "ms") return ["s", String(Number((number / 1000).toPrecision(6)))];
  return [found[3] || "", number];
}

/** A field of a CSV file, which no spreadsheet takes for a formula. */
function field(text) {
  const safe = /^[=+\-@\t]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r;]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Columns of a CSV file from one of a table: its figures, and the ends of their intervals. */
function spread(head, cells) {
  const values = cells.map(([text]) => plain(text));
  const units = [...new Set(values.map(([unit]) => unit).filter(Boolean))];
  const same = units.length === 1;
  const columns = [[
    same ? `${head} (${units[0]})` : head,
    ...values.map(([unit, text]) => (same || !unit ? text : `${text} ${unit}`)),
  ]];
  const notes = cells.map(([, note]) => note);
  if (notes.every((note) => !note)) return columns;
  const ends = notes.map((note) => note.split(" to ").map((end) => plain(end)[1]));
  if (ends.some((both, row) => notes[row] && both.length !== 2)) {
    return [...columns, [`${head}, note`, ...notes]];
  }
  return [
    ...columns,
    [`${head}, low`, ...ends.map(([low]) => low)],
    [`${head}, high`, ...ends.map(([, high]) => high || "")],
  ];
}

/** The lines of a CSV file. A cell is a text and what stands small below it. */
function csv(heads, rows) {
  const empty = ["", ""];
  const columns = heads.flatMap((head, at) => spread(head, rows.map((row) => row[at] || empty)));
  const line = (number) => columns.map((column) => field(column[number])).join(",");
  return [...Array(rows.length + 1).keys()].map((number) => `${line(number)}\n`).join("");
}

const root = document.documentElement;

const theme = document.getElementById("theme");
const dark = () =>
  (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = dark() ? "Light" : "Dark"; };
theme.hidden = false;
nameTheme();
theme.addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  nameTheme();
});

for (const button of document.querySelectorAll(".copy")) {
  const code = button.parentElement.querySelector("code");
  const status = button.parentElement.querySelector("[role=status]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    status.textContent = button.textContent;
    setTimeout(() => { button.textContent = "Copy"; status.textContent = ""; }, 2000);
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => row.cells[column].dataset.sort;
    const compare = (a, b) => {
      const [x, y] = [Number(key(a)), Number(key(b))];
      return Number.isNaN(x - y) ? key(a).localeCompare(key(b)) : x - y;
    };
    const rows = [...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b)));
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  }));
}

/** What a cell shows, or what it says to screen readers alone, and what stands small below it. */
function read(cell) {
  const copy = cell.cloneNode(true);
  const take = (what) => [...copy.querySelectorAll(what)].map((one) => {
    one.remove();
    return one.textContent.trim();
  }).join(" ");
  const heard = take(".sr");
  const note = take("small");
  return [copy.textContent.trim() || heard, note];
}

for (const table of document.querySelectorAll("table.sortable, table.facing, table.stages")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "save";
  button.textContent = "Save as CSV";
  const title = table.caption || table.closest("section").querySelector("h2");
  button.setAttribute("aria-label", `Save as CSV: ${title.textContent.trim()}`);
  button.addEventListener("click", () => {
    const heads = table.tHead ? [...table.tHead.rows[0].cells].map((cell) => read(cell)[0]) : [];
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map(read));
    const file = new Blob([csv(heads, rows)], { type: "text/csv" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    const place = table.closest("[id]");
    const number = [...place.querySelectorAll("table")].indexOf(table);
    link.download = `tokenry-${place.id}${number ? `-${number + 1}` : ""}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  (table.closest(".scroll") || table).after(button);
}

const tip = document.getElementById("tip");
document.addEventListener("pointermove", (event) => {
  const mark = event.target.closest(".chart svg [aria-label]");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.getAttribute("aria-label");
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, innerWidth - width - 8);
  const top = event.clientY - height - 14;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${top < 8 ? event.clientY + 18 : top}px`;
});
