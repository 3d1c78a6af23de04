// Opens a page in Chromium, light, dark and on a telephone, and says as JSON what a person would see or miss.
//
//     node look.mjs FILE.html FOLDER      writes FOLDER/light.png, FOLDER/dark.png and FOLDER/narrow.png
import chromium from '@sparticuz/chromium';
import { chromium as playwright } from 'playwright-core';
import { pathToFileURL } from 'node:url';

const views = {
  light: { viewport: { width: 1280, height: 1000 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 1000 }, colorScheme: 'dark' },
  narrow: { viewport: { width: 390, height: 844 }, colorScheme: 'light' },
};

const [file, folder] = process.argv.slice(2);
const browser = await playwright.launch({
  executablePath: await chromium.executablePath(),
  // In one process, which serverless machines want, the browser ends with its first page.
  args: chromium.args.filter((word) => word !== '--single-process'),
  headless: true,
});
const seen = {};
for (const [view, options] of Object.entries(views)) {
  const page = await browser.newPage(options);
  const problems = [];
  const requests = [];
  page.on('console', (message) => problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  await page.screenshot({ path: `${folder}/${view}.png`, fullPage: true });
  seen[view] = await page.evaluate(() => {
    const box = (element) => {
      const { width, height } = element.getBoundingClientRect();
      return { width, height };
    };
    const style = getComputedStyle(document.body);
    const charts = [...document.querySelectorAll('svg')];
    const outside = charts.flatMap((svg) => {
      const frame = svg.getBoundingClientRect();
      return [...svg.querySelectorAll('text, rect, polyline, circle')]
        .filter((item) => {
          const place = item.getBoundingClientRect();
          return place.right > frame.right + 1 || place.left < frame.left - 1
            || place.bottom > frame.bottom + 1 || place.top < frame.top - 1;
        })
        .map((item) => `${item.tagName}: ${item.textContent}`);
    });
    const overlaps = charts.flatMap((svg) => {
      const texts = [...svg.querySelectorAll('text')].map((item) => [item.textContent, item.getBoundingClientRect()]);
      return texts.flatMap(([one, a], index) => texts.slice(index + 1)
        .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        .map(([other]) => `${one} / ${other}`));
    });
    const sizes = charts.flatMap((svg) => [...svg.querySelectorAll('text')].map(
      (item) => parseFloat(getComputedStyle(item).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width,
    ));
    return {
      title: document.title,
      headings: [...document.querySelectorAll('h1, h2')].map((item) => item.textContent),
      charts: charts.map(box),
      rows: document.querySelectorAll('tbody tr').length,
      outside,
      overlaps,
      smallest: Math.min(...sizes),
      scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
      ink: style.color,
      paper: style.backgroundColor,
    };
  });
  seen[view].problems = problems;
  seen[view].requests = requests;
  await page.close();
}
await browser.close();
console.log(JSON.stringify(seen));
