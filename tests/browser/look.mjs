// Opens a page in Chromium, light and dark, and says as JSON what a person would see or miss.
//
//     node look.mjs FILE.html FOLDER      writes FOLDER/light.png and FOLDER/dark.png
import chromium from '@sparticuz/chromium';
import { chromium as playwright } from 'playwright-core';
import { pathToFileURL } from 'node:url';

const [file, folder] = process.argv.slice(2);
const browser = await playwright.launch({
  executablePath: await chromium.executablePath(),
  // In one process, which serverless machines want, the browser ends with its first page.
  args: chromium.args.filter((word) => word !== '--single-process'),
  headless: true,
});
const seen = {};
for (const scheme of ['light', 'dark']) {
  const page = await browser.newPage({ viewport: { width: 900, height: 1000 }, colorScheme: scheme });
  const problems = [];
  const requests = [];
  page.on('console', (message) => problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  await page.screenshot({ path: `${folder}/${scheme}.png`, fullPage: true });
  seen[scheme] = await page.evaluate(() => {
    const box = (element) => {
      const { width, height } = element.getBoundingClientRect();
      return { width, height };
    };
    const style = getComputedStyle(document.body);
    const outside = [...document.querySelectorAll('svg')].flatMap((svg) => {
      const frame = svg.getBoundingClientRect();
      return [...svg.querySelectorAll('text, rect, polyline')]
        .filter((item) => {
          const place = item.getBoundingClientRect();
          return place.right > frame.right + 1 || place.left < frame.left - 1
            || place.bottom > frame.bottom + 1 || place.top < frame.top - 1;
        })
        .map((item) => `${item.tagName}: ${item.textContent}`);
    });
    return {
      title: document.title,
      headings: [...document.querySelectorAll('h1, h2')].map((item) => item.textContent),
      charts: [...document.querySelectorAll('svg')].map(box),
      rows: document.querySelectorAll('tbody tr').length,
      outside,
      scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
      ink: style.color,
      paper: style.backgroundColor,
    };
  });
  seen[scheme].problems = problems;
  seen[scheme].requests = requests;
  await page.close();
}
await browser.close();
console.log(JSON.stringify(seen));
