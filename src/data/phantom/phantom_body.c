/* Hounsfield values as radiology texts give them for portal venous phase CT, rounded: liver
 * 100-115, spleen 115-130, renal parenchyma 170-200, abdominal aorta 150-170, inferior vena cava
 * 130-150, pancreas 90-105, uterus 110-150, adrenal glands 60-90; unenhanced fluid
 * (bile, urine) 0-20; bowel wall with content 30-60; muscle 50-65; fat -110..-90; trabecular bone
 * 150-300, cortex above 500. They set which neighbours look alike.
 *
 * A trunk is 300 wide, 216 deep and 300 high. An anatomy that trials were stored of stays as it is,
 * to the bit: another is another number. */
#include "src/data/phantom/phantom_body.h"

#define ROWS(table) (int)(sizeof(table) / sizeof *(table))

/* ---- The first: prostate/uterus is small and lies at the volume's edge, below the bladder. */

static const Blob first_blob[] = {
    {6, {62, 6, 80}, {58, 66, 56}, {0, 0, 0}, 0},
    {6, {2, 42, 88}, {56, 34, 29}, {0, -12, 8}, 0},
    {1, {-88, -26, 84}, {27, 38, 47}, {0, 15, 0}, 0.15},
    {2, {62, -46, 12}, {25, 24, 50}, {0, -10, 0}, 0.22},
    {3, {-62, -46, 26}, {25, 24, 50}, {0, 10, 0}, -0.22},
    {14, {0, 28, -98}, {38, 33, 26}, {0, 0, 0}, 0},
    {15, {0, 8, -134}, {25, 20, 14}, {0, 0, 0}, 0},
    {4, {46, 50, 26}, {15, 16, 27}, {20, 0, 0}, 0},
};
static const Pipe first_pipe[] = {
    {7,
     5,
     {{-18, 16, 112, 18},
      {-52, 28, 92, 31},
      {-60, 42, 58, 30},
      {-32, 54, 30, 24},
      {4, 50, 26, 14}}},
    {9, 4, {{24, -22, 150, 12}, {25, -25, 80, 12.5}, {22, -29, 0, 12}, {16, -30, -62, 11}}},
    {8, 4, {{-15, -32, 150, 11}, {-13, -34, 60, 11}, {-11, -33, -20, 10.5}, {-8, -31, -62, 9.5}}},
    {13,
     6,
     {{16, 46, 26, 13},
      {40, 30, 28, 13},
      {52, 12, 10, 13},
      {48, 0, -16, 13},
      {24, -4, -30, 12},
      {-14, -2, -26, 11}}},
    {10,
     5,
     {{32, 10, 14, 17}, {14, 14, 30, 13}, {-8, 18, 42, 12}, {-40, 2, 50, 11}, {-68, -18, 60, 9}}},
    {5,
     4,
     {{-6, -16, 150, 10.5}, {-8, -14, 134, 10.5}, {-14, -2, 122, 10.5}, {-20, 12, 112, 10.5}}},
    {11, 3, {{26, -38, 66, 6}, {34, -26, 80, 7}, {44, -38, 66, 6}}},
    {12, 3, {{-26, -38, 78, 6}, {-34, -26, 92, 7}, {-44, -38, 78, 6}}},
};

/* ---- The second: what is small can be seen. The pelvis is in the volume, with the muscle of its
 * floor, the rectum behind the prostate and the symphysis before it; the gallbladder lies in its
 * fossa, clear of the duodenum; no organ is cut off but the vessels and the esophagus. --------- */

static const Filling second_filling[] = {
    {55, {0, 2, -104}, {62, 56, 38}},   /* pelvic floor */
    {35, {0, -36, -98}, {15, 14, 46}},  /* rectum */
    {600, {0, 52, -112}, {22, 10, 15}}, /* symphysis */
};
static const Blob second_blob[] = {
    {6, {60, 6, 70}, {65, 75, 63}, {0, 0, 0}, 0},
    {6, {2, 42, 82}, {58, 37, 32}, {0, -12, 8}, 0},
    {1, {-81, -26, 78}, {29, 41, 50}, {0, 15, 0}, 0.15},
    {2, {62, -43, 6}, {27, 25, 54}, {0, -10, 0}, 0.22},
    {3, {-62, -43, 20}, {27, 25, 54}, {0, 10, 0}, -0.22},
    {15, {0, 10, -102}, {26, 22, 20}, {0, 0, 0}, 0},
    {14, {0, 30, -66}, {38, 33, 26}, {0, 0, 0}, 0},
    {4, {60, 46, 22}, {18, 18, 36}, {20, 0, 0}, 0},
};
static const Pipe second_pipe[] = {
    {7,
     5,
     {{-18, 16, 108, 17},
      {-50, 28, 88, 29},
      {-58, 42, 54, 28},
      {-30, 52, 28, 22},
      {4, 48, 24, 13}}},
    {9, 4, {{24, -22, 150, 12}, {25, -25, 80, 12.5}, {22, -29, 0, 12}, {16, -30, -62, 11}}},
    {8, 4, {{-15, -32, 150, 11}, {-13, -34, 60, 11}, {-11, -33, -20, 10.5}, {-8, -31, -62, 9.5}}},
    {13,
     6,
     {{16, 44, 24, 13},
      {36, 28, 26, 13},
      {46, 12, 8, 13},
      {44, 0, -16, 13},
      {22, -4, -30, 12},
      {-14, -2, -26, 11}}},
    {10,
     5,
     {{30, 10, 12, 17}, {14, 14, 28, 13}, {-8, 18, 40, 12}, {-40, 2, 48, 11}, {-66, -18, 58, 9}}},
    {5,
     4,
     {{-6, -16, 150, 10.5}, {-8, -14, 132, 10.5}, {-14, -2, 119, 10.5}, {-20, 12, 108, 10.5}}},
    {11, 3, {{26, -38, 66, 6}, {34, -26, 80, 7}, {44, -38, 66, 6}}},
    {12, 3, {{-26, -38, 78, 6}, {-34, -26, 92, 7}, {-44, -38, 78, 6}}},
};

static const Body bodies[PHANTOM_ANATOMIES] = {
    {.ml = {0, 200, 151, 150, 35, 20, 1400, 300, 75, 85, 72, 5.1, 5, 70, 140, 30},
     .hu = {0, 125, 190, 190, 10, 45, 110, 38, 160, 140, 95, 65, 65, 55, 5, 50},
     .blob = first_blob,
     .pipe = first_pipe,
     .blobs = ROWS(first_blob),
     .pipes = ROWS(first_pipe)},
    {.ml = {0, 200, 151, 150, 46, 22, 1200, 300, 75, 94, 70, 5.8, 5.7, 69, 140, 45},
     .hu = {0, 125, 190, 190, 10, 50, 110, 38, 160, 140, 95, 75, 75, 55, 5, 130},
     .filling = second_filling,
     .blob = second_blob,
     .pipe = second_pipe,
     .fillings = ROWS(second_filling),
     .blobs = ROWS(second_blob),
     .pipes = ROWS(second_pipe)},
};

const Body *body_of(int anatomy) {
  return &bodies[anatomy - 1];
}
