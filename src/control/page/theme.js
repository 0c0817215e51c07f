// Before the first paint: colours that were chosen here, over those of the system. Kept in this browser.
"use strict";
(() => {
  const CHOICES = ["system", "light", "dark"];
  const root = document.documentElement;
  const read = () => {
    try {
      const kept = localStorage.getItem("mixpool-theme");
      return CHOICES.includes(kept) ? kept : "system";
    } catch {
      return "system";
    }
  };
  const apply = (choice) => {
    if (choice === "system") delete root.dataset.theme;
    else root.dataset.theme = choice;
  };
  apply(read());

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      const words = { system: "as the system", light: "light", dark: "dark" };
      button.setAttribute("aria-label", `Colours: ${words[read()]}`);
      button.title = `Colours: ${words[read()]}`;
    };
    label();
    button.addEventListener("click", () => {
      // From the system's to the other one first: a click that changes nothing looks broken.
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      const order = dark ? ["system", "light", "dark"] : ["system", "dark", "light"];
      const next = order[(order.indexOf(read()) + 1) % order.length];
      try {
        localStorage.setItem("mixpool-theme", next);
      } catch {
        // Without storage the choice lasts as long as the page.
      }
      apply(next);
      label();
      dispatchEvent(new Event("themechange"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      dispatchEvent(new Event("themechange")));
  });
})();
