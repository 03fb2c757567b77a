import { describe, expect, it } from 'vitest';
import { startChromium, whyNoChromium } from '#test/support/chromium.ts';

describe.skipIf(await whyNoChromium())('A Chromium for tests', () => {
  it('runs a page of its own, and ends when it is disposed of', async () => {
    const browser = await startChromium();
    {
      await using _ = browser;
      const page = await browser.newPage();
      await page.setContent('<title>Hello</title>');
      expect(await page.title()).toBe('Hello');
      expect(browser.isConnected()).toBe(true);
    }
    expect(browser.isConnected()).toBe(false);
  });
});
