"use strict";
// Looks again when the server has news, and puts the live parts of the page in
// place of those that are there.
const link = document.getElementById("link");
const news = new EventSource("/events");
let looking = false, again = false;

async function look() {
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  do {
    again = false;
    const answer = await fetch(location.pathname).catch(() => null);
    if (!answer || !answer.ok) {
      break;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (fresh && fresh.innerHTML !== old.innerHTML) {
        const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
        old.replaceChildren(...fresh.childNodes);
        if (focused) {
          document.getElementById(focused)?.focus();
        }
      }
    }
  } while (again);
  looking = false;
}

news.onmessage = look;
news.onopen = () => { link.textContent = ""; };
news.onerror = () => { link.textContent = "The test server does not answer: has it ended?"; };
