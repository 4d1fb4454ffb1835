// The live page: rows come as server-sent events and are shown as they come. All
// text from the network goes into the page as text, never as markup.
"use strict";
(() => {
  const token = document.body.dataset.token, cached = document.body.dataset.cache === "true";
  const most = Number(document.body.dataset.size), shown = 300; // rows that are kept, and shown
  const words = ["hit", "miss", "revalidated", "collapsed", "stale", "refused", "failed", "other"];
  const $ = id => document.getElementById(id);
  const rows = new Map(); // by number, in the order of numbers but for late changes
  const drawn = new Map(); // number -> its <tr>
  const wanted = new Set(); // words; none: all
  let query = "", paused = false, seen = 0, source = null, dirty = false, missed = 0;
  let figures = null, hour = [];

  // make makes an element with properties and children.
  function make(name, properties, ...children) {
    const e = document.createElement(name);
    for (const [key, value] of Object.entries(properties || {})) {
      if (key in e) e[key] = value; else e.setAttribute(key, value);
    }
    e.append(...children.filter(c => c !== null));
    return e;
  }
  const number = n => n.toLocaleString("en");
  function size(n) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let i = 0;
    for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
    return (i && n < 10 ? n.toFixed(1) : Math.round(n)) + " " + units[i];
  }
  const time = ms => ms >= 9950 ? Math.round(ms / 1000) + " s" : ms >= 995 ? (ms / 1000).toFixed(1) + " s" : ms >= 9.95 ? Math.round(ms) + " ms" : ms.toFixed(ms < 1 ? 2 : 1) + " ms";
  const clock = at => new Date(at).toLocaleTimeString("en-GB");
  function took(r) {
    if (r.underWay) return "…";
    return r.exact ? time(r.took) : r.took ? "about " + (r.took / 1000).toFixed(1) + " s" : "< 0.2 s";
  }
  const group = r => words.includes(r.word) ? r.word : "other";

  // What comes.
  function connect() {
    source = new EventSource("events?token=" + encodeURIComponent(token) + "&after=" + seen);
    source.onopen = () => state("live", "live");
    source.onmessage = e => {
      seen = Number(e.lastEventId) || seen;
      take(JSON.parse(e.data));
    };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) {
        state("bad", "the proxy does not answer; trying again …");
        return;
      }
      // It was started anew, most likely, and has another token.
      state("bad", "loading anew …");
      setTimeout(() => location.reload(), 2000);
    };
  }
  function state(kind, text) {
    $("state").className = kind;
    $("state").textContent = paused ? "paused" : text;
  }
  // Nobody looks at a page that is hidden: it asks again when it is seen.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) source.close();
    else if (source.readyState === EventSource.CLOSED) connect();
  });

  function take(m) {
    const first = rows.size === 0;
    for (const r of m.rows || []) {
      rows.set(r.id, r);
      fresh.add(r.id);
      if (!first) tally[group(r)] = (tally[group(r)] || 0) + 1;
    }
    if (rows.size > most) {
      const ids = [...rows.keys()].sort((a, b) => a - b);
      for (const id of ids.slice(0, rows.size - most)) rows.delete(id);
    }
    missed += m.missed || 0;
    if (m.figures) figures = m.figures;
    // A new connection brings all samples again.
    if (m.hour) hour = hour.filter(p => p.time < m.hour[0].time).concat(m.hour).slice(-360);
    if (m.origins) drawOrigins(m.origins);
    if (m.figures || m.hour) drawFigures();
    if (first) draw(true);
    else soon();
  }
  const fresh = new Set();
  function soon() {
    if (dirty) return;
    dirty = true;
    requestAnimationFrame(() => {
      dirty = false;
      draw(false);
    });
  }

  // Rows.
  function matches(r) {
    if (wanted.size && !wanted.has(group(r))) return false;
    return !query || (r.method + " " + r.url + " " + r.status + " " + r.client + " " + (r.user || "") + " " + r.word).toLowerCase().includes(query);
  }
  // draw brings the table up to date: wholly, or with what is fresh.
  function draw(wholly) {
    const body = $("rows");
    if (paused && !wholly) return;
    if (wholly) {
      const open = [...drawn].filter(([, tr]) => tr.classList.contains("open")).map(([id]) => id);
      body.replaceChildren();
      drawn.clear();
      const ids = [...rows.keys()].sort((a, b) => b - a).filter(id => matches(rows.get(id))).slice(0, shown);
      for (const id of ids) body.append(place(id));
      for (const id of open) if (drawn.has(id)) expand(id, false);
    } else {
      const ids = [...fresh].sort((a, b) => a - b).slice(-shown);
      for (const id of ids) {
        const r = rows.get(id), old = drawn.get(id);
        if (!r || !matches(r)) continue;
        if (old) {
          const wasOpen = old.classList.contains("open");
          fill(old, r);
          if (wasOpen) load(id, old.nextSibling.firstChild);
          continue;
        }
        const tr = place(id);
        tr.classList.add("new");
        // A late one goes where its number belongs.
        let next = body.firstElementChild;
        while (next && (!next.dataset.id || Number(next.dataset.id) > id)) next = next.nextElementSibling;
        body.insertBefore(tr, next);
      }
      trim();
    }
    fresh.clear();
    $("empty").hidden = rows.size > 0;
    $("count").textContent = (drawn.size < rows.size ? number(drawn.size) + " of the last " : "the last ") + number(rows.size) + (missed ? "; " + number(missed) + " more went by too fast" : "");
  }
  function trim() {
    const all = [...drawn].filter(([, tr]) => !tr.classList.contains("open")).sort((a, b) => a[0] - b[0]);
    for (const [id, tr] of all.slice(0, Math.max(0, drawn.size - shown))) {
      if (tr.contains(document.activeElement)) continue;
      tr.remove();
      drawn.delete(id);
    }
  }
  function place(id) {
    const tr = make("tr", {});
    tr.dataset.id = id;
    for (let i = 0; i < 8; i++) tr.append(make("td", {}));
    const button = make("button", {type: "button", className: "word"});
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => tr.classList.contains("open") ? collapse(id) : expand(id, true));
    tr.cells[0].append(button);
    tr.cells[1].append(make("span", {className: "soft"}), " ", make("span", {className: "url"}));
    fill(tr, rows.get(id));
    drawn.set(id, tr);
    return tr;
  }
  function fill(tr, r) {
    const button = tr.cells[0].firstChild;
    button.textContent = r.word;
    button.className = "word " + r.word.replace(" ", "-");
    button.setAttribute("aria-label", r.word + ", " + r.method + " " + r.url);
    tr.cells[1].firstChild.textContent = r.method;
    tr.cells[1].lastChild.textContent = r.url;
    tr.cells[1].title = r.url;
    tr.cells[2].textContent = r.status || "–";
    tr.cells[3].textContent = r.tier || "–";
    tr.cells[4].textContent = r.underWay ? "…" : size(r.size);
    tr.cells[5].textContent = took(r);
    tr.cells[6].textContent = (r.user ? r.user + " " : "") + r.client;
    tr.cells[7].textContent = clock(r.start);
  }

  // What a row is about.
  function expand(id, focus) {
    const tr = drawn.get(id), cell = make("td", {colSpan: 8}), detail = make("tr", {className: "detail", id: "detail" + id}, cell);
    tr.classList.add("open");
    tr.classList.remove("new");
    tr.cells[0].firstChild.setAttribute("aria-expanded", "true");
    tr.cells[0].firstChild.setAttribute("aria-controls", detail.id);
    tr.after(detail);
    load(id, cell, focus);
  }
  function collapse(id) {
    const tr = drawn.get(id);
    tr.classList.remove("open");
    tr.cells[0].firstChild.setAttribute("aria-expanded", "false");
    tr.cells[0].firstChild.removeAttribute("aria-controls");
    tr.nextSibling.remove();
  }
  const trace = id => "exchange/" + id + "?token=" + encodeURIComponent(token);
  async function load(id, cell) {
    const r = rows.get(id);
    if (!r) return;
    let events = [], failed = "";
    try {
      const response = await fetch(trace(id));
      const text = await response.text();
      if (response.ok) events = text.trim().split("\n").slice(1).map(line => JSON.parse(line));
      else failed = text;
    } catch {
      failed = "The proxy does not answer.";
    }
    cell.replaceChildren(...detail(r, events, failed));
  }
  const plain = text => text.replace(/\\r\\n/g, "\n").replace(/\\t/g, "\t").replace(/\\\\/g, "\\").trimEnd();
  function detail(r, events, failed) {
    const parts = [];
    const title = text => parts.push(make("h2", {textContent: text}));
    if (failed) parts.push(make("p", {className: "bad", textContent: failed}));
    if (r.why) {
      title(r.word === "failed" ? "What went wrong" : "Why it was refused");
      parts.push(make("p", {textContent: r.why}));
    }
    const decisions = events.filter(e => e.what === "decision" && e.text && !(r.why && plain(e.text) === r.why));
    if (decisions.length) {
      title("What was decided, and why");
      parts.push(make("ol", {className: "why"}, ...decisions.map(e => make("li", {}, ...rule(e), plain(e.text), e.func ? make("span", {className: "mono", textContent: "  " + e.func + ", " + e.file}) : null))));
    }
    if (!r.underWay && !decisions.some(e => e.func)) {
      parts.push(make("p", {className: "soft", textContent: "Only the heads were kept: so many at a time are not all traced."}));
    }
    if (r.steps && r.steps.length) {
      title("Times");
      parts.push(times(r));
    }
    const heads = events.filter(e => e.what === "line" && e.from !== "cache" && e.to !== "cache");
    if (heads.length) {
      title("Messages");
      parts.push(make("div", {className: "heads"}, ...heads.map(e => {
        const name = e.from + " → " + e.to;
        const pre = make("pre", {tabIndex: 0, textContent: plain(e.text)});
        pre.setAttribute("role", "region");
        pre.setAttribute("aria-label", name);
        return make("div", {}, make("div", {className: "soft", textContent: name}), pre);
      })));
    }
    parts.push(actions(r));
    return parts;
  }
  function rule(e) {
    if (!e.rfc) return [];
    const name = "RFC " + e.rfc + (e.section ? ", " + e.section : "");
    const at = "https://www.rfc-editor.org/rfc/rfc" + e.rfc + (e.section ? "#section-" + e.section : "");
    return [make("a", {href: at, target: "_blank", rel: "noreferrer", textContent: name}), ": "];
  }
  const kinds = {name: "name", connect: "connect", TLS: "tls", "first byte": "first"};
  function times(r) {
    const whole = Math.max(r.took, 0.001, ...r.steps.map(s => s.to));
    const list = make("dl", {className: "times"});
    for (const s of r.steps) {
      const bar = make("i", {className: kinds[s.name] || "rest"});
      bar.style.setProperty("--from", Math.min(99.5, 100 * s.from / whole) + "%");
      bar.style.setProperty("--long", Math.min(100, 100 * Math.max(0, s.to - s.from) / whole) + "%");
      list.append(make("dt", {textContent: s.name}), make("dd", {textContent: time(Math.max(0, s.to - s.from))}), make("dd", {}, bar));
    }
    return list;
  }
  function actions(r) {
    const told = make("span", {role: "status"});
    const post = (what, text) => {
      const b = make("button", {type: "button", textContent: text});
      b.addEventListener("click", async () => {
        told.textContent = "…";
        try {
          const response = await fetch(what, {method: "POST", headers: {"X-Token": token}, body: r.url});
          told.textContent = await response.text();
        } catch {
          told.textContent = "The proxy does not answer.";
        }
      });
      return b;
    };
    const both = cached && r.stored ? [post("purge", "Purge"), post("revalidate", "Revalidate next time")] : [];
    return make("div", {className: "acts"}, ...both, make("a", {href: trace(r.id), download: "exchange-" + r.id + ".ndjson", textContent: "Download the trace"}),
      make("span", {className: "soft", textContent: "trace.html of the webserver draws it"}), told);
  }

  // Figures and charts.
  function drawFigures() {
    if (!figures) return;
    const f = figures, asked = f.hits + f.misses;
    // Points of the charts: differences of samples, up to now.
    const all = hour.map(p => ({...p, at: Date.parse(p.time)}));
    all.push({...f, at: Date.now()});
    const points = [];
    for (let i = 1; i < all.length; i++) {
      const a = all[i - 1], b = all[i], seconds = Math.max(1, (b.at - a.at) / 1000);
      const hits = b.hits - a.hits, both = hits + b.misses - a.misses;
      points.push({at: b.at, requests: (b.requests - a.requests) / seconds, ratio: both ? 100 * hits / both : null, saved: (b.saved - a.saved) / seconds, stored: b.stored});
    }
    const now = points.at(-1) || {requests: 0, ratio: null, saved: 0, stored: f.stored};
    const rate = n => n < 10 ? n.toFixed(1) : number(Math.round(n));
    figure("requests", number(f.requests), rate(now.requests) + "/s", points, p => p.requests, "requests per second", rate);
    figure("ratio", asked ? Math.round(100 * f.hits / asked) + " %" : "–", number(f.hits) + " hits", points, p => p.ratio, "hit ratio", n => Math.round(n) + " %", 100);
    figure("saved", size(f.saved), size(now.saved) + "/s", points, p => p.saved, "bytes saved per second", size);
    figure("stored", size(f.stored), number(f.entries) + (f.shared ? " here, shared " + f.shared : " stored"), points, p => p.stored, (f.shared ? "size of this proxy's part of the store" : "size of the store") + (f.limit ? ", which may be " + size(f.limit) : ""), size);
  }
  function figure(id, text, more, points, value, name, unit, top) {
    const box = $(id), svg = box.querySelector("svg");
    box.querySelector("b").textContent = text;
    box.querySelector("small").textContent = more;
    const has = points.filter(p => value(p) !== null);
    const high = top || Math.max(...has.map(value), 1e-9) * 1.05;
    const last = points.length ? points.at(-1).at : 0;
    const span = Math.min(3600e3, Math.max(300e3, points.length ? last - points[0].at : 0));
    const xy = has.map(p => (300 * (1 - (last - p.at) / span)).toFixed(1) + " " + (58 - 56 * value(p) / high).toFixed(1));
    const path = d => {
      const e = document.createElementNS("http://www.w3.org/2000/svg", "path");
      e.setAttribute("d", d);
      return e;
    };
    svg.replaceChildren();
    if (xy.length) {
      const first = xy[0].split(" ")[0], end = xy.at(-1).split(" ")[0];
      const area = path("M" + first + " 60L" + xy.join("L") + "L" + end + " 60Z");
      area.setAttribute("class", "area");
      svg.append(area, path("M" + xy.join("L")));
    }
    const peak = has.length ? Math.max(...has.map(value)) : 0;
    box.querySelector("span").textContent = Math.round(span / 60e3) + " min";
    svg.setAttribute("aria-label", name + " in the last " + Math.round(span / 60e3) + " minutes, at most " + unit(peak));
    box.title = svg.getAttribute("aria-label");
  }
  function drawOrigins(list) {
    const high = Math.max(1, ...list.map(o => o.requests));
    $("origins").querySelector("ol").replaceChildren(...list.map(o => {
      const li = make("li", {title: o.host}, make("span", {textContent: o.host}), make("span", {textContent: number(o.requests)}));
      li.style.setProperty("--part", 100 * o.requests / high + "%");
      return li;
    }));
    if (!list.length) $("origins").querySelector("ol").append(make("li", {className: "none", textContent: "none yet"}));
  }

  // What the user does.
  $("search").addEventListener("input", e => {
    query = e.target.value.trim().toLowerCase();
    draw(true);
  });
  for (const word of words) {
    const b = make("button", {type: "button", className: word, textContent: word});
    b.setAttribute("aria-pressed", "false");
    b.addEventListener("click", () => {
      if (!wanted.delete(word)) wanted.add(word);
      b.setAttribute("aria-pressed", String(wanted.has(word)));
      draw(true);
    });
    $("words").append(b);
  }
  function pause() {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    state("live", "live");
    if (!paused) draw(false);
  }
  $("pause").addEventListener("click", pause);
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const typing = e.target.matches("input, pre"), tr = e.target.closest("tr[data-id]");
    if (e.key === "/" && !typing) {
      e.preventDefault();
      $("search").focus();
    } else if (e.key === "p" && !typing) {
      pause();
    } else if (e.key === "Escape" && e.target.closest(".detail")) {
      const row = e.target.closest(".detail").previousSibling;
      row.cells[0].firstChild.focus();
      collapse(Number(row.dataset.id));
    } else if (tr && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
      const all = [...document.querySelectorAll("#rows .word")], next = all[all.indexOf(e.target) + (e.key === "ArrowDown" ? 1 : -1)];
      if (next) {
        e.preventDefault();
        next.focus();
      }
    }
  });
  // A reader that cannot see the rows is told now and then what has come.
  let tally = {};
  setInterval(() => {
    const news = Object.entries(tally).map(([word, n]) => n + " " + word).join(", ");
    tally = {};
    if (news && !paused) $("told").textContent = "New: " + news;
  }, 10000);
  connect();
})();
