/* The three kinds of phantom2d.h. Sizes are shares of the shorter side, but for edges and hairs,
 * which are pixels. */
#include "src/data/phantom/canvas.h"

#include <math.h>

static void between(Rng *rng, const double low[3], const double high[3], double out[3]) {
  double share = rng_uniform(rng);
  for (int k = 0; k < 3; k++) out[k] = low[k] + share * (high[k] - low[k]);
}

static void place(const Canvas *c, double margin, Rng *rng, double at[2]) {
  double edge = margin * canvas_unit(c);
  at[0] = rng_between(rng, edge, c->height - edge);
  at[1] = rng_between(rng, edge, c->width - edge);
}

/* ---- variants -------------------------------------------------------------------------------- */

typedef struct Between {
  double low, high;
} Between;

static double drawn(Between b, Rng *rng) {
  return rng_between(rng, b.low, b.high);
}

/* What a variant makes harder. */
typedef struct Look {
  /* lesion */
  double faint, strong; /* the least contrast, and how much the strongest has more */
  Between edge;         /* pixels over which its border fades */
  int moles;            /* small dark blobs that are no lesion, at most */
  Between lesion_noise;
  /* nuclei */
  Between base;       /* the background */
  double dim;         /* the darkest nucleus; the brightest is four times as bright */
  int ghosts;         /* as large and bright, but out of focus, at most */
  Between shot;       /* noise's variance as a share of the value */
  double plain_noise; /* beside it */
  /* vessels */
  Between blood; /* contrast */
  Between retina_noise;
  int cotton; /* bright spots, at most */
} Look;

static const Look looks[] = {
    {.1, .55, {1, 3}, 0, {5, 14}, {6, 28}, 45, 0, {.5, 3}, 3, {.45, .9}, {2, 7}, 0},
    {.05, .4, {1, 6}, 7, {8, 20}, {8, 45}, 24, 12, {1, 5}, 6, {.12, .5}, {6, 14}, 7},
};

static const Look *look_of(const Canvas *c) {
  return &looks[c->variant - 1];
}

/* ---- lesion: one blob on skin, its border unclear, hairs over it ----------------------------- */

enum { HARMONICS = 6 };

/* Border r(angle) = radius (1 + sum of a_k cos(k angle + p_k)), k = 2 .. 7. */
typedef struct Blob {
  double at[2], radius, edge; /* edge: pixels over which it fades */
  double share[HARMONICS], phase[HARMONICS];
} Blob;

static Blob blob_draw(const Canvas *c, Rng *rng) {
  Blob blob = {.radius = canvas_unit(c) * rng_between(rng, .13, .3),
               .edge = drawn(look_of(c)->edge, rng)};
  place(c, .3, rng, blob.at);
  for (int k = 0; k < HARMONICS; k++) {
    blob.share[k] = rng_between(rng, 0, .24 / (k + 2));
    blob.phase[k] = rng_between(rng, 0, 2 * M_PI);
  }
  return blob;
}

/* Pixels from the border outwards, along the ray from the middle. */
static double blob_distance(const Blob *blob, int h, int w) {
  double y = h - blob->at[0], x = w - blob->at[1], angle = atan2(y, x), border = 1;
  for (int k = 0; k < HARMONICS; k++)
    border += blob->share[k] * cos((k + 2) * angle + blob->phase[k]);
  return hypot(y, x) - blob->radius * border;
}

static void blob_cover(Canvas *c, const Blob *blob) {
  for (int h = 0; h < c->height; h++)
    for (int w = 0; w < c->width; w++) {
      double distance = blob_distance(blob, h, w);
      c->cover[h * c->width + w] = (float)(1 / (1 + exp(2 * distance / blob->edge)));
      c->label[h * c->width + w] = distance < 0;
    }
}

/* Light from one side, less of it towards the corners. */
static void skin(Canvas *c, const double colour[3], Rng *rng) {
  double light = rng_between(rng, 0, 2 * M_PI), steep = rng_between(rng, 0, .25);
  double corner = rng_between(rng, 0, .35), half = hypot(c->height, c->width) / 2;
  for (int h = 0; h < c->height; h++)
    for (int w = 0; w < c->width; w++) {
      double y = (h - .5 * c->height) / half, x = (w - .5 * c->width) / half;
      double shade = 1 + steep * (y * sin(light) + x * cos(light)) - corner * pow(hypot(y, x), 3);
      for (int k = 0; k < 3; k++)
        c->colour[3 * (h * c->width + w) + k] = (float)(colour[k] * shade);
    }
}

/* What is dark and is no lesion: freckles, out of focus. */
static void freckles(Canvas *c, Rng *rng) {
  for (int n = (int)rng_below(rng, 9); n > 0; n--) {
    double at[2], level[3], dark = rng_between(rng, 8, 50);
    place(c, 0, rng, at);
    for (int k = 0; k < 3; k++) level[k] = -dark;
    canvas_glow(c, at[0], at[1], canvas_unit(c) * rng_between(rng, .015, .08), level);
  }
}

static void blotches(Canvas *c, const Blob *blob, Rng *rng) {
  for (int n = 2 + (int)rng_below(rng, 5); n > 0; n--) {
    double angle = rng_between(rng, 0, 2 * M_PI), away = blob->radius * rng_between(rng, 0, .7);
    double bright = rng_between(rng, -35, 30), level[3] = {bright, .8 * bright, .7 * bright};
    canvas_glow(c, blob->at[0] + away * sin(angle), blob->at[1] + away * cos(angle),
                blob->radius * rng_between(rng, .12, .35), level);
  }
}

/* Small, dark and sharp: darker than many a lesion. */
static void moles(Canvas *c, const double dark[3], Rng *rng) {
  int most = look_of(c)->moles;
  for (int n = most ? (int)rng_below(rng, (uint32_t)most + 1) : 0; n > 0; n--) {
    double at[2];
    place(c, 0, rng, at);
    canvas_clear(c);
    canvas_disc(c, at[0], at[1], canvas_unit(c) * rng_between(rng, .012, .05));
    canvas_mix(c, dark, rng_between(rng, .2, .6));
  }
}

static void hairs(Canvas *c, Rng *rng) {
  canvas_clear(c);
  for (int n = (int)rng_below(rng, 13); n > 0; n--) {
    double at[2], angle = rng_between(rng, 0, 2 * M_PI), width = rng_between(rng, .2, .8);
    int length = (int)(canvas_unit(c) * rng_between(rng, .3, 1.2));
    place(c, 0, rng, at);
    canvas_line(c, at, &angle, rng_between(rng, -1.5, 1.5) / length, length,
                (double[2]){width, width});
  }
  canvas_mix(c, (double[3]){45, 32, 28}, .85);
}

void draw_lesion(Canvas *c, Rng *rng) {
  double colour[3], dark[3];
  between(rng, (double[3]){168, 118, 96}, (double[3]){232, 192, 172}, colour);
  skin(c, colour, rng);
  freckles(c, rng);
  Blob blob = blob_draw(c, rng);
  double strong = rng_uniform(rng); /* squared: weak contrast is common */
  between(rng, (double[3]){58, 32, 28}, (double[3]){112, 66, 52}, dark);
  moles(c, dark, rng);
  blob_cover(c, &blob);
  canvas_mix(c, dark, look_of(c)->faint + look_of(c)->strong * strong * strong);
  blotches(c, &blob, rng);
  hairs(c, rng);
  canvas_expose(c, drawn(look_of(c)->lesion_noise, rng), 0, rng);
}

/* ---- nuclei: many small bodies that touch, brightness over a range of four ------------------- */

typedef struct Body {
  double at[2], axis[2], turn, bright;
} Body;

/* Half of them lie against one that is there already. */
static Body body_draw(const Canvas *c, const Body *others, int count, Rng *rng) {
  double size = canvas_unit(c) * rng_between(rng, .03, .065);
  Body body = {.axis = {size, size * rng_between(rng, .6, 1)},
               .turn = rng_between(rng, 0, M_PI),
               .bright = look_of(c)->dim * pow(4, rng_uniform(rng))};
  place(c, 0, rng, body.at);
  if (count && rng_uniform(rng) < .5) {
    const Body *other = &others[rng_below(rng, (uint32_t)count)];
    double angle = rng_between(rng, 0, 2 * M_PI), away = .85 * (other->axis[0] + body.axis[0]);
    body.at[0] = other->at[0] + away * sin(angle);
    body.at[1] = other->at[1] + away * cos(angle);
  }
  return body;
}

static void body_paint(Canvas *c, const Body *body, int number) {
  double s = sin(body->turn), t = cos(body->turn);
  for (int h = 0; h < c->height; h++)
    for (int w = 0; w < c->width; w++) {
      double y = h - body->at[0], x = w - body->at[1];
      double u = hypot((t * x + s * y) / body->axis[0], (t * y - s * x) / body->axis[1]);
      double distance = (u - 1) * body->axis[1], share = 1 / (1 + exp(2.5 * distance));
      int at = h * c->width + w;
      if (distance < 0) c->label[at] = 1;
      if (distance < 0 && c->object) c->object[at] = (float)number;
      for (int k = 0; k < 3 && share > .01; k++) {
        double value = body->bright * (1 - .25 * u * u);
        float *colour = &c->colour[3 * at + k];
        *colour = (float)fmax(*colour, (1 - share) * *colour + share * (*colour * .3 + value));
      }
    }
}

/* What a network must not take for a nucleus: it has no border. */
static void ghosts(Canvas *c, Rng *rng) {
  const Look *look = look_of(c);
  for (int n = look->ghosts ? (int)rng_below(rng, (uint32_t)look->ghosts + 1) : 0; n > 0; n--) {
    double at[2], level = look->dim * pow(4, rng_uniform(rng)) * .8;
    place(c, 0, rng, at);
    canvas_glow(c, at[0], at[1], canvas_unit(c) * rng_between(rng, .03, .06),
                (double[3]){level, level, level});
  }
}

void draw_nuclei(Canvas *c, Rng *rng) {
  enum { MOST = 60 };
  Body body[MOST];
  int count = 10 + (int)rng_below(rng, MOST - 9);
  double base = drawn(look_of(c)->base, rng);
  skin(c, (double[3]){base, base, base}, rng);
  for (int n = 3; n > 0; n--) { /* the background, uneven, and what is out of focus */
    double at[2], level = rng_between(rng, 6, 30);
    place(c, 0, rng, at);
    canvas_glow(c, at[0], at[1], canvas_unit(c) * rng_between(rng, .05, .3),
                (double[3]){level, level, level});
  }
  ghosts(c, rng);
  for (int i = 0; i < count; i++) {
    body[i] = body_draw(c, body, i, rng);
    body_paint(c, &body[i], i + 1);
  }
  canvas_expose(c, look_of(c)->plain_noise, drawn(look_of(c)->shot, rng), rng);
}

/* ---- vessels: a tree of thin lines in an eye's round field ----------------------------------- */

typedef struct Branch {
  double at[2], angle, radius;
} Branch;

enum { BRANCHES = 256 };

/* Each goes on for a while and then parts in two thinner ones. */
static void tree_grow(Canvas *c, Branch *branch, int count, Rng *rng) {
  double unit = canvas_unit(c);
  for (int i = 0; i < count; i++) {
    Branch now = branch[i];
    int length = (int)(unit * rng_between(rng, .1, .22));
    double thin = fmax(.8 * now.radius, .65);
    canvas_line(c, now.at, &now.angle, rng_between(rng, -.9, .9) / length, length,
                (double[2]){now.radius, thin});
    for (int side = -1; side <= 1 && now.radius > .8 && count < BRANCHES; side += 2)
      branch[count++] = (Branch){{now.at[0], now.at[1]},
                                 now.angle + side * rng_between(rng, .2, .7),
                                 thin * rng_between(rng, .7, .95)};
  }
}

/* Black around the round field, where nothing is labelled. */
static void field_cut(Canvas *c, double radius) {
  for (int h = 0; h < c->height; h++)
    for (int w = 0; w < c->width; w++) {
      double share = radius + .5 - hypot(h - .5 * (c->height - 1), w - .5 * (c->width - 1));
      int at = h * c->width + w;
      share = fmin(fmax(share, 0), 1);
      for (int k = 0; k < 3; k++) c->colour[3 * at + k] *= (float)share;
      c->label[at] = share >= .5 && c->cover[at] >= .5f;
    }
}

/* Exudates: bright and sharp, below the vessels. */
static void cotton(Canvas *c, Rng *rng) {
  int most = look_of(c)->cotton;
  canvas_clear(c);
  for (int n = most ? (int)rng_below(rng, (uint32_t)most + 1) : 0; n > 0; n--) {
    double at[2];
    place(c, .1, rng, at);
    canvas_disc(c, at[0], at[1], canvas_unit(c) * rng_between(rng, .008, .03));
  }
  if (most) canvas_mix(c, (double[3]){236, 206, 150}, .6);
}

void draw_vessels(Canvas *c, Rng *rng) {
  double unit = canvas_unit(c), colour[3], blood[3], disc[2];
  between(rng, (double[3]){150, 62, 26}, (double[3]){214, 118, 66}, colour);
  between(rng, (double[3]){88, 22, 16}, (double[3]){118, 40, 24}, blood);
  skin(c, colour, rng);
  freckles(c, rng);
  disc[0] = c->height * rng_between(rng, .42, .58), disc[1] = c->width * rng_between(rng, .2, .35);
  canvas_clear(c);
  canvas_disc(c, disc[0], disc[1], .07 * unit);
  canvas_mix(c, (double[3]){250, 214, 140}, .8);
  canvas_glow(c, disc[0], disc[1], .12 * unit, (double[3]){30, 24, 10});
  cotton(c, rng);
  canvas_clear(c);
  Branch branch[BRANCHES];
  int trunks = 4 + (int)rng_below(rng, 3);
  for (int i = 0; i < trunks; i++)
    branch[i] = (Branch){{disc[0], disc[1]},
                         2 * M_PI * i / trunks + rng_between(rng, -.4, .4),
                         rng_between(rng, 1.3, 1.8) * unit / 128};
  tree_grow(c, branch, trunks, rng);
  canvas_mix(c, blood, drawn(look_of(c)->blood, rng));
  field_cut(c, .49 * unit);
  canvas_expose(c, drawn(look_of(c)->retina_noise, rng), 0, rng);
}
