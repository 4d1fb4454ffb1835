// Loads this page anew when a file of its site has changed (webserver --live-reload).
(() => {
  let events;
  function listen() {
    if (document.hidden || events) return; // a browser has few connections for all its tabs
    // A change that came after this page began to load, and before now, counts too.
    events = new EventSource("/.live-reload?age=" + Math.ceil(Date.now() - performance.timeOrigin));
    events.onmessage = () => location.reload();
    events.onerror = () => { close(); setTimeout(listen, 1000); };
  }
  function close() {
    if (events) events.close();
    events = undefined;
  }
  document.addEventListener("visibilitychange", () => document.hidden ? close() : listen());
  listen();
})();
